/** A mail server of one's own: it says what the script says, and keeps what it was sent. */
import { createServer, type Server, type Socket } from 'node:net';

export interface Received {
  readonly from: string;
  readonly to: readonly string[];
  readonly data: string;
}

/** By the first word of a command, or `greeting` or `data end`: the reply, without the line end. `null`: silence. */
export type Script = Readonly<Record<string, string | null>>;

const POLITE: Script = {
  greeting: '220 mail.example ESMTP',
  EHLO: '250 mail.example',
  HELO: '250 mail.example',
  MAIL: '250 ok',
  RCPT: '250 ok',
  DATA: '354 go on',
  'data end': '250 queued',
  QUIT: '221 bye',
};

export class SmtpServer {
  readonly received: Received[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  port = 0;

  constructor(script: Script = {}) {
    const replies = { ...POLITE, ...script };
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
      this.#converse(socket, replies);
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.port = (this.#server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #converse(socket: Socket, replies: Script): void {
    const say = (name: string): void => {
      const reply = replies[name];
      if (reply === 'CLOSE') socket.destroy();
      else if (reply !== null) socket.write(`${reply ?? '500 what?'}\r\n`);
    };
    let buffer = '';
    let from = '';
    let to: string[] = [];
    let inData = false;
    say('greeting');
    socket.setEncoding('latin1').on('data', (text: string) => {
      buffer += text;
      for (;;) {
        const end = buffer.indexOf(inData ? '\r\n.\r\n' : '\r\n');
        if (end < 0) return;
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + (inData ? 5 : 2));
        if (inData) {
          this.received.push({ from, to, data: Buffer.from(line, 'latin1').toString('utf8') });
          inData = false;
          to = [];
          say('data end');
          continue;
        }
        const command = line.split(/[ :]/)[0].toUpperCase();
        if (command === 'MAIL') from = /<(.*?)>/.exec(line)?.[1] ?? '';
        if (command === 'RCPT') {
          const address = /<(.*?)>/.exec(line)?.[1] ?? '';
          // A reply of its own for one recipient.
          const own = replies[`RCPT ${address}`];
          if (typeof own === 'string') {
            socket.write(`${own}\r\n`);
            continue;
          }
          to.push(address);
        }
        if (command === 'DATA') inData = replies['DATA'] === POLITE['DATA'];
        say(command);
        if (command === 'QUIT') socket.end();
      }
    });
  }
}
