/**
 * Hostile input to the engine. Whatever arrives: it never throws, never touches a byte outside the frame, sends only
 * frames with right checksums, and its counters agree with its table.
 *
 * `UIPVS_FUZZ_FRAMES` sets how many frames each test plays (then without a time limit), `UIPVS_SEED` which.
 */

import { expect, test } from 'vitest';
import { DELIVER, DROP, PASS, TRANSMIT } from '../../src/engine/verdict.ts';
import type { EngineCounters } from '../../src/model/commands.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import { FrameFlag, HEADROOM_BYTES, NO_LINK, PacketBatch, TO_HOST } from '../../src/wire/packet-batch.ts';
import { formatFrame } from '../../src/wire/print.ts';
import { decodeFrame, type Layer } from '../support/decode.ts';
import { onesComplementSum, pseudoHeader } from '../support/internet-checksum.ts';
import { Random } from '../support/random.ts';
import { REAL1, REAL2, VIP, type World } from '../support/world.ts';
import { type Arrival, fuzzWorld, LINKS, Traffic } from './traffic.ts';

const FRAMES_ASKED = process.env['UIPVS_FUZZ_FRAMES'];
const FRAMES = Number(FRAMES_ASKED ?? 60_000);
const TIME_LIMIT_MS = FRAMES_ASKED === undefined ? 10_000 : Number.POSITIVE_INFINITY;
const TEST_TIMEOUT_MS = FRAMES_ASKED === undefined ? 60_000 : 24 * 3_600_000;

const SLOTS = 16;
const SLOT_BYTES = HEADROOM_BYTES + 4_096;
const GUARD_BYTES = 64;
const CANARY = 0xc5;

/** A batch whose slots lie between canaries, and which fills everything that is no frame with them. */
class GuardedBatch {
  readonly batch = new PacketBatch(new Uint8Array(SLOTS * (SLOT_BYTES + GUARD_BYTES) + GUARD_BYTES), SLOTS);
  readonly arrivals: Arrival[] = [];
  readonly #canaries = new Uint8Array(this.batch.bytes.length).fill(CANARY);
  readonly #clean = new Uint8Array(this.batch.bytes.length);

  constructor() {
    for (let slot = 0; slot < SLOTS; slot++) {
      this.batch.floor[slot] = GUARD_BYTES + slot * (SLOT_BYTES + GUARD_BYTES);
      this.batch.ceiling[slot] = (this.batch.floor[slot] as number) + SLOT_BYTES;
    }
  }

  /** With `stale`, the slots hold what is left of longer frames, as slots do that are used again and again. */
  fill(arrivals: readonly Arrival[], stale = false): void {
    const { batch } = this;
    batch.bytes.fill(CANARY);
    batch.clear();
    this.arrivals.length = 0;
    for (const arrival of arrivals) {
      if (stale) batch.bytes.set(arrival.unspoiled, (batch.floor[batch.count] as number) + HEADROOM_BYTES);
      const slot = batch.push(arrival.bytes, arrival.ingress, arrival.mark);
      batch.flags[slot] = arrival.partialChecksum ? FrameFlag.PARTIAL_CHECKSUM : 0;
      batch.segmentBytes[slot] = arrival.segmentBytes;
      this.arrivals.push(arrival);
    }
  }

  /** The first places of bytes that changed although they belong to no frame. */
  damage(): number[] {
    const { bytes, start, end } = this.batch;
    const clean = this.#clean;
    clean.set(bytes);
    for (let slot = 0; slot < this.arrivals.length; slot++) {
      const before = (this.batch.floor[slot] as number) + HEADROOM_BYTES;
      const from = Math.min(before, start[slot] as number);
      clean.fill(CANARY, from, Math.max(before + (this.arrivals[slot] as Arrival).bytes.length, end[slot] as number));
    }
    if (Buffer.compare(clean, this.#canaries) === 0) return [];
    return [...clean.keys()].filter((at) => clean[at] !== CANARY).slice(0, 10);
  }
}

interface Played {
  readonly world: World;
  readonly frames: number;
  readonly counters: EngineCounters;
}

/** Plays random traffic and checks each frame; `between` runs after each batch. */
function play(random: Random, between: (world: World) => void): Played {
  const world = fuzzWorld();
  const traffic = new Traffic(random);
  const guarded = new GuardedBatch();
  const { batch } = guarded;
  const deadline = performance.now() + TIME_LIMIT_MS;
  let frames = 0;
  while (frames < FRAMES && performance.now() < deadline) {
    guarded.fill(Array.from({ length: random.between(1, SLOTS) }, () => traffic.next()));
    world.engine.process(batch, world.nowMs);
    for (let slot = 0; slot < batch.count; slot++) checkFrame(batch, slot, guarded.arrivals[slot] as Arrival);
    expect(guarded.damage()).toEqual([]);
    expect(batch.count).toBe(guarded.arrivals.length);
    frames += batch.count;
    takeSent(traffic, batch);
    checkOwnFrames(world.engine.outbox);
    takeSent(traffic, world.engine.outbox);
    world.engine.outbox.clear();
    between(world);
    world.nowMs += random.pick([0, 0, 1, 5, 300]);
    if (random.chance(0.002)) world.nowMs += 100_000;
    world.engine.advance(world.nowMs);
    checkOwnFrames(world.engine.outbox);
    takeSent(traffic, world.engine.outbox);
    world.engine.outbox.clear();
  }
  return { world, frames, counters: world.counters() };
}

function takeSent(traffic: Traffic, batch: PacketBatch): void {
  for (let slot = 0; slot < batch.count; slot++) {
    const egress = batch.egress[slot] as number;
    if (egress >= 0) traffic.sent(egress, batch.frame(slot));
  }
}

function checkFrame(batch: PacketBatch, slot: number, arrival: Arrival): void {
  const [start, end] = [batch.start[slot] as number, batch.end[slot] as number];
  const after = batch.frame(slot);
  const verdict = batch.verdict[slot] as number;
  const egress = batch.egress[slot] as number;
  const about = () =>
    `${formatFrame(arrival.bytes)} on ${arrival.ingress} -> ${formatFrame(after)} on ${egress}, verdict ${verdict}
    ${Buffer.from(arrival.bytes).toString('hex')}`;
  check(start >= (batch.floor[slot] as number) && start <= end, 'begins in its slot', about);
  check(end <= (batch.ceiling[slot] as number), 'ends in its slot', about);
  check(batch.ingress[slot] === arrival.ingress, 'keeps its ingress', about);
  check(EGRESSES.includes(egress), 'leaves by a link that exists', about);
  if (verdict === DROP) check(egress === NO_LINK, 'does not leave when it is dropped', about);
  if (verdict === PASS) {
    const unchanged = Buffer.compare(after.subarray(14), arrival.bytes.subarray(14, after.length)) === 0;
    check(unchanged, 'is unchanged when it is not ours', about);
  }
  if (verdict !== TRANSMIT && verdict !== DELIVER) return;
  check(egress !== NO_LINK, 'leaves when it is transmitted', about);
  checkRewritten(decodeFrame(arrival.bytes), decodeFrame(after), after, arrival, batch.flags[slot] as number, about);
}

/**
 * A checksum that was right is right, and one that was left unfinished is left so or finished. UDP without one stays
 * so or gets a right one, which the kernel's IPVS computes whenever it rewrites such a datagram.
 */
function checkRewritten(
  before: Layer[],
  after: Layer[],
  bytes: Uint8Array,
  arrival: Arrival,
  flags: number,
  about: () => string,
): void {
  check(after[1]?.fields['checksum'] === 'valid', 'has a right header checksum', about);
  const [was, is] = [before[2]?.fields['checksum'], after[2]?.fields['checksum']];
  const isPartial = (flags & FrameFlag.PARTIAL_CHECKSUM) !== 0;
  if (arrival.partialChecksum) {
    // One sum in 65536 is by chance also a right checksum, and is taken for that first.
    if (was === 'partial' && isPartial)
      check(is === 'partial' || holdsPseudoHeader(bytes), 'keeps its unfinished checksum', about);
    else if (was === 'partial') check(is === 'valid', 'has its checksum finished', about);
    return;
  }
  check(!isPartial, 'is not called unfinished', about);
  if (was === 'valid') check(is === 'valid', 'keeps its right checksum', about);
  if (was === 'none') check(is === 'none' || is === 'valid', 'has no checksum or a right one', about);
}

/** Looks at the bytes themselves: is the transport checksum the folded sum of the pseudo-header? */
function holdsPseudoHeader(frame: Uint8Array): boolean {
  const transport = frame.subarray(14 + (frame[14]! & 15) * 4);
  const protocol = frame[23]!;
  const at = protocol === 6 ? 16 : 6;
  const sum = onesComplementSum(
    pseudoHeader(frame.subarray(26, 30), frame.subarray(30, 34), protocol, transport.length),
  );
  return ((transport[at]! << 8) | transport[at + 1]!) === sum;
}

/** What the engine says itself is right in every field that can be checked. */
function checkOwnFrames(outbox: PacketBatch): void {
  for (let slot = 0; slot < outbox.count; slot++) {
    const egress = outbox.egress[slot] as number;
    if (egress === NO_LINK) continue;
    const bytes = outbox.frame(slot);
    const about = () => `the engine's own ${formatFrame(bytes)} on ${egress}: ${Buffer.from(bytes).toString('hex')}`;
    const layers = decodeFrame(bytes);
    check(EGRESSES.includes(egress), 'leaves by a link that exists', about);
    check(layers.length > 1, 'is ARP or IP', about);
    if (layers[1]?.name === 'ipv4')
      check(layers[1].fields['checksum'] === 'valid', 'has a right header checksum', about);
    // Frames of others that waited for a next hop come this way too, and theirs may have been wrong on arrival.
    const isOwn = OWN_ADDRESSES.includes(String(layers[1]?.fields['from']));
    if (layers[2]?.name === 'icmp' && isOwn) {
      check(layers[2].fields['checksum'] === 'valid', 'has a right ICMP checksum', about);
    }
  }
}

/** The director's, from which its own errors come. */
const OWN_ADDRESSES: readonly string[] = ['10.0.0.1', '10.0.0.100', '10.1.0.1'];
const EGRESSES: readonly number[] = [NO_LINK, TO_HOST, LINKS.client, LINKS.server, LINKS.cable];

/** Like `expect`, but cheap enough for every frame. */
function check(holds: boolean, promise: string, about: () => string): void {
  if (!holds) expect.fail(`a frame ${promise}, but not this one: ${about()}`);
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

/** The others are inactive; UDP connections always are. */
const ACTIVE_STATES = ['ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'SYNACK'];

/** Connections that destinations count, that are listed, and that the table says it holds. */
function connectionCounts(world: World) {
  const destinations = world.services().flatMap((service) => service.destinations);
  const total = (numbers: readonly number[]) => numbers.reduce((all, number) => all + number, 0);
  const listed = world.connections();
  return {
    countedActive: total(destinations.map((one) => one.activeConnections)),
    countedInactive: total(destinations.map((one) => one.inactiveConnections)),
    active: listed.filter((one) => ACTIVE_STATES.includes(one.state)).length,
    inactive: listed.filter((one) => !ACTIVE_STATES.includes(one.state)).length,
    table: world.counters().connections,
  };
}

const NOTHING = { countedActive: 0, countedInactive: 0, active: 0, inactive: 0, table: 0 };

/** Runs a story and says with which seed it failed. */
function seeded(story: (random: Random) => void): () => void {
  return () => {
    const random = Random.fromEnvironment();
    try {
      story(random);
    } catch (error) {
      (error as Error).message = `UIPVS_SEED=${random.seed}: ${(error as Error).message}`;
      throw error;
    }
  };
}

test(
  'whatever arrives, frames stay in their slots, checksums stay right and counters agree with the table',
  seeded((random) => {
    const { world, frames, counters } = play(random, (world) => {
      if (random.chance(0.9)) return; // Listing everything takes long.
      const { countedActive, countedInactive, active, inactive, table } = connectionCounts(world);
      expect({ active: countedActive, inactive: countedInactive }).toEqual({ active, inactive });
      expect(active + inactive).toBe(table);
    });
    expect(sum(counters.verdicts)).toBe(frames);
    expect(sum(counters.passes)).toBe(counters.verdicts['pass']);
    // Two reasons are not about a frame that arrived: own frames, and frames that had been parked.
    const { 'outbox-full': ownFrames = 0, 'neighbor-unknown': parked = 0 } = counters.drops;
    expect(sum(counters.drops) - ownFrames - parked).toBe(counters.verdicts['drop']);
    // The traffic got far enough to mean something.
    for (const verdict of ['pass', 'drop', 'transmit', 'consume', 'deliver']) {
      expect(counters.verdicts[verdict], verdict).toBeGreaterThan(frames / 2_000);
    }

    // Packets of the services add up to those of the table, and in the end everything is forgotten.
    world.wait(4_000);
    const services = world.services();
    const { statistics } = world.engine.execute<'getTotals'>({ name: 'getTotals' });
    for (const name of ['connections', 'inPackets', 'outPackets', 'inBytes', 'outBytes'] as const) {
      const ofServices = services.reduce((total, service) => total + service.statistics[name], 0);
      const ofDestinations = services.flatMap((service) => service.destinations);
      expect(ofServices, name).toBe(statistics[name]);
      expect(
        ofDestinations.reduce((total, one) => total + one.statistics[name], 0),
        name,
      ).toBe(statistics[name]);
    }
    for (let i = 0; i < 100; i++) world.wait(10_000);
    expect(connectionCounts(world)).toEqual(NOTHING);
  }),
  TEST_TIMEOUT_MS,
);

test(
  'whatever arrives while services, servers and links come and go, nothing breaks',
  seeded((random) => {
    const { world, frames, counters } = play(random, (world) => {
      if (random.chance(0.2)) changeSomething(random, world);
      if (random.chance(0.9)) return;
      // Connections of deleted destinations are counted by nobody.
      const { countedActive, countedInactive, active, inactive, table } = connectionCounts(world);
      expect(active + inactive).toBe(table);
      expect(countedActive).toBeLessThanOrEqual(active);
      expect(countedInactive).toBeLessThanOrEqual(inactive);
    });
    expect(sum(counters.verdicts)).toBe(frames);
    expect(counters.verdicts['transmit']).toBeGreaterThan(frames / 500);
    for (let i = 0; i < 100; i++) world.wait(10_000);
    expect(connectionCounts(world)).toEqual(NOTHING);
  }),
  TEST_TIMEOUT_MS,
);

test(
  'what lies in a slot beside its frame changes nothing',
  seeded((random) => {
    const traffic = new Traffic(random);
    const [clean, stale] = [fuzzWorld(), fuzzWorld()];
    const [cleanBatch, staleBatch] = [new GuardedBatch(), new GuardedBatch()];
    const deadline = performance.now() + TIME_LIMIT_MS;
    for (let frames = 0; frames < FRAMES && performance.now() < deadline; frames += SLOTS) {
      const arrivals = Array.from({ length: SLOTS }, () => traffic.next());
      cleanBatch.fill(arrivals);
      staleBatch.fill(arrivals, true);
      clean.engine.process(cleanBatch.batch, clean.nowMs);
      stale.engine.process(staleBatch.batch, stale.nowMs);
      for (let slot = 0; slot < SLOTS; slot++) {
        const [one, other] = [outcome(cleanBatch.batch, slot), outcome(staleBatch.batch, slot)];
        const about = () => `${formatFrame((arrivals[slot] as Arrival).bytes)}: ${one}, but ${other}`;
        check(one === other, 'is judged by itself alone', about);
      }
      takeSent(traffic, cleanBatch.batch);
      for (const world of [clean, stale]) {
        world.engine.outbox.clear();
        world.nowMs += 20;
        world.engine.advance(world.nowMs);
      }
    }
    expect(stale.counters()).toEqual(clean.counters());
  }),
  TEST_TIMEOUT_MS,
);

/** What became of a frame, in one comparable text. */
function outcome(batch: PacketBatch, slot: number): string {
  const facts = [batch.verdict[slot], batch.egress[slot], batch.flags[slot], batch.segmentBytes[slot]];
  return `${facts.join(' ')} ${Buffer.from(batch.frame(slot)).toString('hex')}`;
}

/** One random order of an operator, or a link that goes away or comes back. Refusals are answers, too. */
function changeSomething(random: Random, world: World): void {
  const protocol = random.pick(['tcp', 'tcp', 'udp'] as const);
  const service = { protocol, address: VIP, port: protocol === 'udp' ? 53 : random.pick([80, 81, 82, 83, 84]) };
  const address = random.pick([REAL1, REAL2, '127.0.0.1']);
  const port = random.pick([8080, service.port]);
  const limits = { weight: random.below(3), upperThreshold: random.below(4), lowerThreshold: 0 };
  const method = random.pick(['masquerade', 'direct'] as const);
  const destination = { address, port, method, ...limits, tunnel: PLAIN_TUNNEL };
  const orders = [
    () => world.engine.execute({ name: 'deleteService', key: service }),
    () => world.addService(random.pick(['rr', 'sh', 'wlc', 'mh', 'sed']), [[REAL1], [REAL2]], service),
    () => world.addService('lblc', [[REAL1]], { ...service, method: 'direct' }),
    () => world.engine.execute({ name: 'addDestination', service, destination }),
    () => world.engine.execute({ name: 'editDestination', service, destination }),
    () => world.engine.execute({ name: 'deleteDestination', service, destination: { address, port } }),
    () => world.engine.execute({ name: 'zero' }),
    () => world.engine.execute({ name: 'flush' }),
    () => world.engine.setNetwork({ ...world.network, links: world.network.links.slice(0, random.between(0, 3)) }),
    () => world.engine.setNetwork(world.network),
    () =>
      world.engine.execute({
        name: 'setTimeouts',
        timeouts: { tcpSeconds: random.below(900), tcpFinSeconds: random.below(9), udpSeconds: random.below(99) },
      }),
  ];
  try {
    // Building up is more frequent than tearing down, so that there is something to tear down.
    random.pick(random.chance(0.7) ? orders.filter((_, i) => i !== 0 && i !== 7 && i !== 8) : orders)();
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
  }
}
