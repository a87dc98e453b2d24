/** `node write-web-capture.ts FILE CONNECTIONS`, with a Node that reads TypeScript: the capture of `web-capture.ts` as a file. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { webCapture } from './web-capture.ts';

const [path = '', connections = '1000'] = process.argv.slice(2);
const file = openSync(path, 'w');
for (const piece of webCapture({ connections: Number(connections) })) writeSync(file, piece);
closeSync(file);
