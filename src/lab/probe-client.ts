/**
 * A client that asks servers who they are. It reads one JSON line a request, `{ protocol, address, port, sourcePort,
 * count }`, makes so many connections one after the other, from ports that follow each other, and writes one JSON line:
 * the answers in order, each a server's name or why there was none.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const PATIENCE_MS = 5_000;

interface ProbeRequest {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  readonly sourcePort: number;
  readonly count: number;
}

function askByTcp(address: string, port: number, localPort: number): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    let failure = 'closed without an answer';
    const socket = connect({ host: address, port, localPort });
    socket.setTimeout(PATIENCE_MS, () => {
      failure = 'no answer';
      socket.destroy();
    });
    socket.on('connect', () => socket.write('who\n'));
    socket.on('data', (data) => {
      answer += data;
      if (answer.endsWith('\n')) socket.end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (failure = error.code ?? error.message));
    socket.on('close', () => resolve(answer === '' ? failure : answer.trim()));
  });
}

function askByUdp(address: string, port: number, localPort: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const finish = (answer: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish('no answer'), PATIENCE_MS);
    socket.on('message', (data) => finish(String(data).trim()));
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.bind(localPort, () => socket.connect(port, address, () => socket.send('who\n')));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { protocol, address, port, sourcePort, count } = JSON.parse(line) as ProbeRequest;
  const ask = protocol === 'tcp' ? askByTcp : askByUdp;
  const answers: string[] = [];
  for (let n = 0; n < count; n++) answers.push(await ask(address, port, sourcePort + n));
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
