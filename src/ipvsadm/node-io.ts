/** The surroundings of `ipvsadm` as a program: standard streams, the host's names, and a data plane to connect to. */
import type { IpvsadmIo, IpvsadmTable } from './io.ts';
import { createSystemNames } from './names.ts';

/** 128 and the number of SIGPIPE, as a shell shows it. */
const BROKEN_PIPE_STATUS = 141;

/** `connect` must reject with an IpvsError: ENOPROTOOPT when no data plane answers, EPERM when we may not ask it. */
export function nodeIpvsadmIo(connect: () => Promise<IpvsadmTable>): IpvsadmIo {
  return {
    programName: programName(process.argv[1] ?? ''),
    names: createSystemNames(),
    stdin: () => process.stdin.setEncoding('utf8'),
    stdout: (text) => write(process.stdout, text),
    stderr: (text) => write(process.stderr, text),
    connect,
  };
}

/** The last part of the path, without the ending of the built file. */
export function programName(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/\.[cm]?[jt]s$/, '');
  return name === '' ? 'ipvsadm' : name;
}

/**
 * Ends when the text is out of our hands. A reader that goes away (`ipvsadm -Lnc | head`) ends the program as the
 * signal SIGPIPE would; a full disk ends it with a word about that.
 */
function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve) => {
    stream.write(text, (error) => {
      if (!error) return resolve();
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(BROKEN_PIPE_STATUS);
      if (stream !== process.stderr) process.stderr.write(`cannot write the output: ${error.message}\n`);
      process.exit(1);
    });
  });
}
