/**
 * A data plane over an engine in this thread: for tests, replay and questions like "where would this go?".
 * Frames and time are the caller's business; commands and events work as they do everywhere.
 */
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { Capabilities, DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { DataPlaneEvent } from '../model/events.ts';
import { eventOf, Watchers } from './changes.ts';
import type { PacketEngine } from './packet-engine.ts';

export interface InProcessOptions {
  readonly engine: PacketEngine;
  readonly capabilities: Capabilities;
  /** Monotonic milliseconds, on the same clock as the engine's. */
  readonly nowMs: () => number;
}

export class InProcessDataPlane implements DataPlane {
  readonly capabilities: Capabilities;
  readonly engine: PacketEngine;
  readonly #nowMs: () => number;
  readonly #watchers = new Watchers();
  #closed = false;

  constructor(options: InProcessOptions) {
    this.capabilities = options.capabilities;
    this.engine = options.engine;
    this.#nowMs = options.nowMs;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    if (this.#closed) throw new IpvsError('ENOPROTOOPT', 'the data plane is closed');
    this.engine.advance(this.#nowMs());
    const answer = this.engine.execute(command);
    const event = eventOf(command as Command);
    if (event !== null) this.#watchers.tell(event);
    return answer;
  }

  watch(listener: (event: DataPlaneEvent) => void): () => void {
    return this.#watchers.add(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}
