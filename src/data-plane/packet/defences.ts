/**
 * What is set up on the host around the engine, as one thing: the watchdog, the guard it feeds and the host
 * link it will remove. When the watchdog is killed, all three are set up anew.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IpvsError } from '../../model/errors.ts';
import { type Guard, NftGuard, NO_GUARD } from './guard.ts';
import { guardUnavailable } from './guard-tools.ts';
import { createHostLink, WITHOUT_HOST_LINK } from './host-link.ts';
import { createTap } from './tap-link.ts';
import { Watchdog } from './watchdog.ts';

const REARM_DELAY_MS = 1_000;
const REARM_DELAY_MS_MAX = 30_000;

export interface DefencesOptions {
  readonly guard: 'on' | 'off';
  readonly hostLink: 'on' | 'off';
  /** Frames are carried by a tap, which the guard feeds. */
  readonly tap: boolean;
  /** MTU of the host link. */
  readonly hostLinkMtu: () => number;
  readonly notice: (level: 'info' | 'warning' | 'error', message: string) => void;
  /** Called after everything was set up anew: links have new indexes. */
  readonly onRearmed: () => void;
}

export class Defences {
  readonly guard: Guard;
  readonly #options: DefencesOptions;
  #watchdog: Watchdog;
  #closed = false;

  private constructor(options: DefencesOptions, watchdog: Watchdog, guard: Guard) {
    this.#options = options;
    this.#watchdog = watchdog;
    this.guard = guard;
    watchdog.onLost(() => void this.#rearm());
  }

  /** Throws an IpvsError when the guard is wanted and cannot be had, or another data plane is at work here. */
  static async setUp(options: DefencesOptions): Promise<Defences> {
    if (options.tap && options.guard === 'off') throw new IpvsError('EINVAL', TAP_NEEDS_GUARD);
    const unavailable = options.guard === 'on' ? await guardUnavailable() : null;
    if (unavailable !== null) throw new IpvsError('EPERM', unavailable);
    const watchdog = await Watchdog.start(readerFor(options));
    try {
      if (options.tap) await raiseTap();
      const guard = options.guard === 'on' ? await NftGuard.create(watchdog, options.tap ? 'steer' : 'drop') : NO_GUARD;
      const defences = new Defences(options, watchdog, guard);
      await defences.raiseHostLink();
      return defences;
    } catch (error) {
      await watchdog.close();
      throw error;
    }
  }

  /** Creates the host link, or says what does not work without it. Returns whether there is one. */
  async raiseHostLink(): Promise<boolean> {
    if (this.#options.hostLink === 'off') return false;
    const reason = await createHostLink(this.#options.hostLinkMtu());
    if (reason !== null) this.#options.notice('warning', `no host link (${reason}): ${WITHOUT_HOST_LINK}`);
    return reason === null;
  }

  /** After the tap has vanished. Throws an IpvsError when it cannot be had again. */
  async raiseTapAgain(): Promise<void> {
    await raiseTap();
    await this.guard.renew();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#watchdog.close();
  }

  async #rearm(): Promise<void> {
    this.#options.notice('error', 'the guard’s keeper was ended by somebody; guard and host link are set up anew');
    for (let delayMs = 0; !this.#closed; delayMs = Math.min(delayMs * 2 + REARM_DELAY_MS, REARM_DELAY_MS_MAX)) {
      await delay(delayMs, undefined, { ref: false });
      if (this.#closed) return;
      try {
        const watchdog = await Watchdog.start(readerFor(this.#options));
        if (this.#closed) return await watchdog.close();
        this.#watchdog = watchdog;
        watchdog.onLost(() => void this.#rearm());
        if (this.#options.tap) await raiseTap();
        await this.guard.moveTo(watchdog);
        await this.raiseHostLink();
        this.#options.notice('info', 'guard and host link are set up again');
        this.#options.onRearmed();
        return;
      } catch (error) {
        this.#options.notice('error', `the guard could not be set up: ${(error as Error).message}`);
        await this.#watchdog.close();
      }
    }
  }
}

const TAP_NEEDS_GUARD =
  'with macvtap the guard’s rules are what brings packets to the engine: it cannot be off; leave --guard off away, or choose another back end';

async function raiseTap(): Promise<void> {
  const reason = await createTap();
  if (reason !== null) throw new IpvsError('EOPNOTSUPP', `the tap cannot be set up: ${reason}`);
}

function readerFor(options: DefencesOptions): 'nft -i' | 'cat' {
  return options.guard === 'on' ? 'nft -i' : 'cat';
}
