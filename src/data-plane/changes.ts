/** What a carried-out command means for those who watch: the event it causes, or `null` for questions. */
import type { Command } from '../model/commands.ts';
import type { DataPlaneEvent } from '../model/events.ts';

export function eventOf(command: Command): DataPlaneEvent | null {
  switch (command.name) {
    case 'addService':
      return { type: 'service-added', service: command.service };
    case 'editService':
      return { type: 'service-edited', service: command.service };
    case 'deleteService':
      return { type: 'service-deleted', key: command.key };
    case 'flush':
      return { type: 'flushed' };
    case 'addDestination':
      return { type: 'destination-added', service: command.service, destination: command.destination };
    case 'editDestination':
      return { type: 'destination-edited', service: command.service, destination: command.destination };
    case 'deleteDestination': {
      const { address, port } = command.destination;
      return { type: 'destination-deleted', service: command.service, address, port };
    }
    default:
      return null;
  }
}

/** Those who watch one data plane. A listener that throws does not keep the others from hearing. */
export class Watchers {
  readonly #listeners = new Set<(event: DataPlaneEvent) => void>();

  add(listener: (event: DataPlaneEvent) => void): () => void {
    // A wrapper of its own: the same function may watch twice and stop once.
    const entry = (event: DataPlaneEvent) => listener(event);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  tell(event: DataPlaneEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
