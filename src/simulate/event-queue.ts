/** What happens next: events by time, those at the same time in the order they were added. A binary heap. */
export class EventQueue<T> {
  readonly #heap: { readonly atSeconds: number; readonly serial: number; readonly event: T }[] = [];
  #serials = 0;

  get size(): number {
    return this.#heap.length;
  }

  get nextSeconds(): number {
    return this.#heap[0]?.atSeconds ?? Number.POSITIVE_INFINITY;
  }

  add(atSeconds: number, event: T): void {
    const heap = this.#heap;
    let at = heap.push({ atSeconds, serial: this.#serials++, event }) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.#isBefore(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** The first event; only when there is one. */
  take(): T {
    const heap = this.#heap;
    this.#swap(0, heap.length - 1);
    const { event } = heap.pop() as { event: T };
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && this.#isBefore(child, least)) least = child;
      }
      if (least === at) return event;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const one = this.#heap[a] as { atSeconds: number; serial: number };
    const other = this.#heap[b] as { atSeconds: number; serial: number };
    return one.atSeconds < other.atSeconds || (one.atSeconds === other.atSeconds && one.serial < other.serial);
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap;
    [heap[a], heap[b]] = [heap[b] as (typeof heap)[0], heap[a] as (typeof heap)[0]];
  }
}
