/** How many clients lose their server because another one came or went. */
import type { ChurnResult } from './result.ts';
import { type Change, serverName } from './scenario.ts';

interface Era {
  readonly change: Change;
  /** The server of each client before the change; taken out when the client comes again. */
  readonly before: Map<number, number>;
  clients: number;
  moved: number;
}

export class Churn {
  /** The last server of each client. */
  readonly #last = new Map<number, number>();
  readonly #eras: Era[] = [];

  begin(change: Change): void {
    this.#eras.push({ change, before: new Map(this.#last), clients: 0, moved: 0 });
  }

  note(client: number, server: number): void {
    this.#last.set(client, server);
    // Only the first request after a change tells of it.
    const era = this.#eras.at(-1);
    const before = era?.before.get(client);
    if (era === undefined || before === undefined) return;
    era.before.delete(client);
    if (before === era.change.server) return;
    era.clients++;
    if (server !== before) era.moved++;
  }

  results(): ChurnResult[] {
    return this.#eras.map(({ change, clients, moved }) => ({ change: describe(change), clients, moved }));
  }
}

function describe(change: Change): string {
  const what = change.kind === 'weight' ? `weight ${change.weight}` : change.kind;
  return `${change.atSeconds} s: ${serverName(change.server)} ${what}`;
}
