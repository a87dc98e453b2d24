/** One recording through the engine in virtual time, to the first difference. */
import type { IpvsadmIo, NameService } from '../ipvsadm/io.ts';
import { runIpvsadm } from '../ipvsadm/ipvsadm.ts';
import { isMarkKey } from '../model/service.ts';
import type { Difference } from './difference.ts';
import { RecordedDirector, type Witness } from './director.ts';
import { hopTo } from './environment.ts';
import { HostSetup } from './host-setup.ts';
import type { Moment } from './makers.ts';
import { createRecordedNames } from './names.ts';
import { compareOutputs } from './outputs.ts';
import { addressHex, isPortUnreachable, type PacketFacts, packetFacts } from './packet-facts.ts';
import type { PairContext } from './packet-tolerances.ts';
import { readProcFile } from './proc.ts';
import type { CommandStep, FileStep, PacketStep, RecordedStep, Recording, SysctlStep, WaitStep } from './recording.ts';
import { playSysctl } from './sysctl.ts';
import { compareCommand, compareFile, QUEUE_LENGTH_SET } from './texts.ts';
import { Leniency, type ToleranceName } from './tolerances.ts';

/** What the recordings leave open about the recorded machine. */
export interface Phases {
  /** The estimator's timer started so many milliseconds after the namespace was made. */
  readonly estimatorMs: number;
  /** The tick counter at the start of the case, modulo 4096. */
  readonly wheelTicks: number;
}

export interface PlayedCase {
  /** Of the first difference, or `null`: it passed. */
  readonly failure: Failure | null;
  readonly tolerances: ReadonlySet<ToleranceName>;
}

export interface Failure {
  /** Index into the recording's steps. */
  readonly step: number;
  readonly seconds: number;
  /** The step in words. */
  readonly what: string;
  readonly difference: Difference;
}

/** Most cases do not look at counters; those that do say when their namespace was made. */
const DEFAULT_CREATED_SECONDS = -0.06;
const TICK_MS = 4;
const WHEEL_TICKS = 4096;
/** Period of the estimator: the engine may have started so many ticks earlier without anybody seeing a difference. */
const ESTIMATOR_TICKS = 504;

/** Never throws for what the engine does: an exception is a difference. */
export async function playOnce(
  recording: Recording,
  phases: Phases,
  witness: Witness | null = null,
): Promise<PlayedCase> {
  const player = new Player(recording, startOf(recording, phases), witness);
  for (const [index, step] of recording.steps.entries()) {
    let difference: Difference | null;
    try {
      difference = await player.play(step, index);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      difference = { field: 'the engine', kernel: 'did this step', came: `threw an exception: ${text}` };
    }
    if (difference === null) continue;
    const failure = { step: index, seconds: step.t, what: describeStep(step), difference };
    return { failure, tolerances: player.leniency.used };
  }
  return { failure: null, tolerances: player.leniency.used };
}

/** The engine begins whole estimator periods before the namespace, as many as give the tick counter its phase. */
function startOf(recording: Recording, { estimatorMs, wheelTicks }: Phases): number {
  const createdMs = Math.round((recording.env.netns_created_t ?? DEFAULT_CREATED_SECONDS) * 1000);
  const timerMs = createdMs + estimatorMs;
  let best = 0;
  let bestDistance = WHEEL_TICKS;
  for (let periods = 0; periods < WHEEL_TICKS / 8; periods++) {
    const ticksAtZero = Math.floor(-timerMs / TICK_MS) + periods * ESTIMATOR_TICKS;
    const distance = Math.abs((((ticksAtZero - wheelTicks) % WHEEL_TICKS) + WHEEL_TICKS) % WHEEL_TICKS);
    if (distance < bestDistance) [best, bestDistance] = [periods, distance];
  }
  return timerMs - best * ESTIMATOR_TICKS * TICK_MS;
}

class Player {
  readonly leniency = new Leniency();
  readonly #host = new HostSetup();
  readonly #director: RecordedDirector;
  readonly #names: NameService = createRecordedNames();
  readonly #ownAddresses = new Set<string>();
  readonly #interfaceAddresses = new Set<string>();
  readonly #surroundings = {
    isOwnAddress: (address: string): boolean => this.#ownAddresses.has(address),
    isInterfaceAddress: (address: string): boolean => this.#interfaceAddresses.has(address),
    hopTo: (address: string) => hopTo(this.#director.network, address),
  };
  #syncPorts = 1;

  constructor(recording: Recording, startMs: number, witness: Witness | null) {
    this.#director = new RecordedDirector(recording, this.leniency, startMs, witness);
    for (const link of this.#director.network.links) {
      for (const { address, prefixLength } of link.addresses) {
        this.#ownAddresses.add(addressHex(address));
        // A VIP is held as a single address, not as one in a network.
        if (prefixLength !== 32 && prefixLength !== 128) this.#interfaceAddresses.add(addressHex(address));
      }
    }
  }

  async play(step: RecordedStep, index: number): Promise<Difference | null> {
    switch (step.do) {
      case 'packet':
        return this.#packet(step, index);
      case 'wait':
        return this.#wait(step, index);
      case 'cmd':
        return this.#command(step);
      case 'file':
        return this.#file(step);
      case 'sysctl':
        return this.#sysctl(step);
      case 'host':
        this.#setUpHost(step.argv);
        return null;
      case 'note':
        return null;
    }
  }

  async #packet(step: PacketStep, index: number): Promise<Difference | null> {
    const expected = step.out ?? [];
    const input = Buffer.from(step.hex, 'hex');
    const facts = packetFacts(input);
    const asksForServices = expected.some(({ hex }) => isPortUnreachable(packetFacts(Buffer.from(hex, 'hex'))));
    this.#director.advanceTo(step.t);
    const service = asksForServices || step.out?.length ? await this.#covering(facts, step.mark ?? 0) : NOT_COVERED;
    const moment: Moment = {
      ...this.#surroundings,
      input,
      isOwn: this.#ownAddresses.has(facts.destination) || this.#host.isLocal(step.mark ?? 0, facts.ipv6),
      isAnswered: this.#ownAddresses.has(facts.destination),
      ...service,
    };
    const observed = this.#director.packet(step);
    if (observed === null) return { field: 'interface', kernel: step.dev, came: 'there is no such interface' };
    return compareOutputs(expected, moment, observed, this.#context(input, index));
  }

  #wait(step: WaitStep, index: number): Difference | null {
    const observed = this.#director.wait(step);
    const moment: Moment = { ...this.#surroundings, input: null, isOwn: false, isAnswered: false, ...NOT_COVERED };
    return compareOutputs(step.out ?? [], moment, observed, this.#context(null, index));
  }

  #context(input: Buffer | null, index: number): PairContext {
    return {
      ...this.#surroundings,
      leniency: this.leniency,
      input,
      masquerade: this.#host.masquerade,
      syncPorts: this.#syncPorts,
      step: `step ${index}`,
    };
  }

  /** From the services at this moment: does one cover the packet, and has it a server on the director itself? */
  async #covering(facts: PacketFacts, mark: number): Promise<typeof NOT_COVERED> {
    const { items } = await this.#director.dataPlane.execute<'listServices'>({ name: 'listServices' });
    const covering = items.filter(({ spec: { key } }) => {
      if (isMarkKey(key)) return key.mark === mark && (key.family === 'ipv6') === facts.ipv6;
      const sameAddress =
        PROTOCOL_NUMBERS[key.protocol] === facts.protocol && addressHex(key.address) === facts.destination;
      return sameAddress && (key.port === 0 || key.port === facts.destinationPort);
    });
    const isLocal = (address: string): boolean =>
      address.startsWith('127.') || address === '::1' || this.#ownAddresses.has(addressHex(address));
    return {
      isCovered: covering.length > 0,
      hasLocalServer: covering.some(({ destinations }) => destinations.some(({ spec }) => isLocal(spec.address))),
    };
  }

  async #command(step: CommandStep): Promise<Difference | null> {
    // A program needs some milliseconds to start: what was to go with the next tick is gone when it asks.
    this.#director.advanceTo(step.t + (looksAtCounters(step) ? 0 : COMMAND_START_SECONDS));
    let stdout = '';
    let stderr = '';
    const io: IpvsadmIo = {
      programName: step.argv[0] as string,
      names: this.#names,
      async *stdin() {
        yield step.stdin ?? '';
      },
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
      connect: async () => this.#director.dataPlane,
    };
    const exit = await runIpvsadm(step.argv.slice(1), io);
    const procText = (await readProcFile(this.#director.dataPlane, '/proc/net/ip_vs_conn')) ?? '';
    return compareCommand(step, { stdout, stderr, exit }, procText, this.leniency);
  }

  async #file(step: FileStep): Promise<Difference | null> {
    this.#director.advanceTo(step.t);
    return compareFile(step, await readProcFile(this.#director.dataPlane, step.path), this.leniency);
  }

  #setUpHost(argv: readonly string[]): void {
    this.#host.apply(argv);
    const route = HostSetup.routeOf(argv, this.#director.network.links);
    if (route !== null) this.#director.addRoute(route);
    if (this.#host.masquerade) {
      this.#director.setSourceNat(this.#host.sourceNat(this.#director.network.localPortRange));
    }
  }

  #sysctl(step: SysctlStep): Promise<Difference | null> {
    this.#director.advanceTo(step.t);
    if (step.name.endsWith('.sync_qlen_max') && step.error === undefined && step.value !== '') {
      this.leniency.remember(QUEUE_LENGTH_SET, 'yes');
    }
    if (step.name.endsWith('.sync_ports') && step.error === undefined) this.#syncPorts = Number(step.value) || 1;
    return playSysctl(this.#director.dataPlane, step);
  }
}

/** Ticks take 4 ms, a command 5 to 10. */
const COMMAND_START_SECONDS = 0.004;

/** These are compared with the estimator's timer, whose phase is counted from the step's own time. */
function looksAtCounters(step: CommandStep): boolean {
  return step.argv.includes('--stats') || step.argv.includes('--rate');
}

const NOT_COVERED = { isCovered: false, hasLocalServer: false };
const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

function describeStep(step: RecordedStep): string {
  switch (step.do) {
    case 'packet':
      return `packet from ${step.dev}: ${step.sum ?? step.hex}`;
    case 'wait':
      return `wait of ${step.seconds} s`;
    case 'cmd':
      return `command: ${step.argv.join(' ')}`;
    case 'file':
      return `file ${step.path}`;
    case 'sysctl':
      return `sysctl ${step.name}=${step.value}`;
    case 'host':
      return `set-up of the host: ${step.argv.join(' ')}`;
    case 'note':
      return `remark: ${step.text}`;
  }
}
