/** Reads what passes the running balancer, again and again, from its tap (`readCapture`). */
import type { DataPlane } from '../model/data-plane.ts';
import { readTapRecords, type TapRecord } from '../wire/tap-record.ts';

/** The kinds of numbers a reading has beside its packets. */
export interface LivePage {
  readonly records: readonly TapRecord[];
  /** Packets that there was no room for, since the reading before. */
  readonly lost: number;
  /** The balancer had forgotten the capture, since its worker was replaced or nobody read for long. */
  readonly beganAnew: boolean;
  /** More can be read at once. */
  readonly more: boolean;
  /** Names of the links that are served now, by index. */
  readonly links: ReadonlyMap<number, string>;
}

export interface LiveCaptureOptions {
  readonly filter?: string;
  readonly snapBytes?: number;
  readonly all?: boolean;
}

export class LiveCapture {
  readonly #dataPlane: Pick<DataPlane, 'execute'>;
  readonly #options: LiveCaptureOptions;
  readonly #id: string;
  #hasBegun = false;

  /** `id`: other readers must not have the same. */
  constructor(dataPlane: Pick<DataPlane, 'execute'>, id: string, options: LiveCaptureOptions) {
    this.#dataPlane = dataPlane;
    this.#id = id;
    this.#options = options;
  }

  /** What came since the last reading. The first begins the capture. Rejects with an IpvsError. */
  read(): Promise<LivePage> {
    return this.#read(false);
  }

  /** Ends the capture, and gives what is left of it, page by page. */
  async *rest(): AsyncGenerator<LivePage> {
    if (!this.#hasBegun) return;
    for (let more = true; more; ) {
      const page = await this.#read(true);
      more = page.more;
      yield page;
    }
  }

  async #read(stop: boolean): Promise<LivePage> {
    const { records, more, lost, begun, links } = await this.#dataPlane.execute<'readCapture'>({
      name: 'readCapture',
      id: this.#id,
      ...this.#options,
      ...(stop ? { stop } : {}),
    });
    const beganAnew = begun && this.#hasBegun;
    this.#hasBegun = true;
    return {
      records: [...readTapRecords(Buffer.from(records, 'base64'))],
      lost,
      beganAnew,
      more,
      links: new Map(links.map(({ index, name }) => [index, name])),
    };
  }
}
