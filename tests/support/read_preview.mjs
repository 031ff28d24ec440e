// Prints what preview_reader.js makes of a file, for tests/test_preview.py.
import { readFileSync } from 'node:fs'
import { readPreview } from '../preview_reader.js'

const { header, layers, groups } = readPreview(readFileSync(process.argv[2]))
console.log(JSON.stringify({ header, layers, groups: groups.map(group => [group.layer, group.feature, group.lines.map(line => [...line])]) }))
