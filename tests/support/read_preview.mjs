// Prints what preview-reader.js makes of a file, for tests/test_preview_reader.py.
import { readFileSync } from 'node:fs'
import { readPreview } from '../../frontend/src/passports/preview-reader.js'

const { header, layers, groups } = readPreview(readFileSync(process.argv[2]))
console.log(JSON.stringify({ header, layers, groups: groups.map(group => [group.layer, group.feature, group.lines.map(line => [...line])]) }))
