/** The standard streams of this process, written to at the reader's pace. */
import type { Output } from '../cli/command-line.ts';

export const processOutput: Output = {
  stdout: (text) => write(process.stdout, text),
  stderr: (text) => write(process.stderr, text),
};

export function writeStdoutBytes(bytes: Uint8Array): Promise<void> {
  return write(process.stdout, bytes);
}

/** Never rejects: what happens when the reader went away is settled in `start.ts`. */
function write(stream: NodeJS.WriteStream, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    stream.write(text, () => resolve());
  });
}
