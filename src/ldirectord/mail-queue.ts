/** Mails wait here, so that nobody waits for a mail server. One is sent at a time; there is no room for many. */
import type { Mail } from './mail-transport.ts';

const QUEUE_MAX = 100;

export interface MailQueueOptions {
  /** Answers refused recipients; rejects with the reason. */
  send(mail: Mail): Promise<readonly string[]>;
  log(text: string): void;
}

export class MailQueue {
  readonly #options: MailQueueOptions;
  readonly #waiting: Mail[] = [];
  #sending = false;
  #lost = 0;
  #idle: (() => void)[] = [];

  constructor(options: MailQueueOptions) {
    this.#options = options;
  }

  push(mail: Mail): void {
    if (this.#waiting.length >= QUEUE_MAX) {
      if (this.#lost === 0) {
        this.#options.log(`emailalert: ${QUEUE_MAX} mails are waiting; further ones are dropped until one was sent`);
      }
      this.#lost += 1;
      return;
    }
    this.#waiting.push(mail);
    if (!this.#sending) void this.#sendAll();
  }

  /** Ends when all is sent, or after `timeoutMs`; what is still waiting then is counted in the log. */
  async flush(timeoutMs: number): Promise<void> {
    if (!this.#sending) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
    const unsent = this.#waiting.splice(0).length + (this.#sending ? 1 : 0);
    if (unsent > 0) this.#options.log(`emailalert: ${unsent} mails could not be sent in time`);
  }

  async #sendAll(): Promise<void> {
    this.#sending = true;
    for (let mail = this.#waiting.shift(); mail !== undefined; mail = this.#waiting.shift()) {
      await this.#send(mail);
    }
    this.#sending = false;
    for (const tell of this.#idle.splice(0)) tell();
  }

  async #send(mail: Mail): Promise<void> {
    const { send, log } = this.#options;
    try {
      const refused = await send(mail);
      if (refused.length > 0) log(`emailalert: ${mail.subject}: not taken for ${refused.join(', ')}`);
    } catch (error) {
      log(`emailalert: ${mail.subject}: not sent: ${(error as Error).message}`);
    }
    if (this.#lost === 0) return;
    log(`emailalert: ${this.#lost} mails were dropped in the meantime`);
    this.#lost = 0;
  }
}
