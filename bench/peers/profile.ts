/**
 * Where uipvs spends its processor time. `perf` samples its processes under load; every sample is put down to the
 * system call, or to the part of our own program, in which it was taken.
 */
import { hasProgram, pause, runCommand } from '../../src/lab/host.ts';
import type { Circumstances } from './measurement.ts';
import { startFlood } from './measurements/flood.ts';
import { runtimeNanoseconds, userAndSystemSeconds } from './processor.ts';

export interface ProfileRow {
  readonly peer: string;
  readonly load: string;
  /** Shares of the processor time, together 1. */
  readonly shares: Readonly<Record<string, number>>;
  /** Processors kept busy: 0.9 is 90 % of one. */
  readonly processors: number;
  /** How it was found, a sentence. */
  readonly source: string;
}

const SAMPLES_PER_SECOND = 1999;
/** Fewer say nothing. */
const SAMPLES_MIN = 50;

export async function profilePeer(circumstances: Circumstances): Promise<ProfileRow[]> {
  const { peer, place, seconds, layout } = circumstances;
  const rows: ProfileRow[] = [];
  if (peer.abilities.includes('packets')) {
    const options = { seconds: seconds + 1, rate: 0, pinTo: layout.generator };
    const flood = await startFlood(peer, place, { ...options, from: 'client' });
    await pause(200, place.signal);
    rows.push(await sample(circumstances, 'small packets'));
    await flood.done;
  }
  const address = await place.freshAddress();
  const words = ['-q', '-r', '-t', String(Math.ceil(seconds + 1)), '-n', '1000000', '-c', '20', '-B', address];
  const load = place.lab.run(place.client, ['ab', ...words, `http://${peer.target}/`]);
  await pause(300, place.signal);
  rows.push(await sample(circumstances, 'ab'));
  await load;
  return rows;
}

async function sample({ peer, place, pids, seconds }: Circumstances, load: string): Promise<ProfileRow> {
  const before = runtimeNanoseconds(pids);
  const timesBefore = userAndSystemSeconds(pids);
  const begunMs = performance.now();
  const file = place.lab.path(`${load.replace(' ', '-')}.perf`);
  const usesPerf = hasProgram('perf');
  if (usesPerf) {
    const words = ['-q', '-F', String(SAMPLES_PER_SECOND), '-g', '-p', pids.join(','), '-o', file];
    await runCommand(['perf', 'record', ...words, '--', 'sleep', String(seconds)], { signal: place.signal });
  } else {
    await pause(seconds * 1000, place.signal);
  }
  const processors = (runtimeNanoseconds(pids) - before) / 1e6 / (performance.now() - begunMs);
  const timesAfter = userAndSystemSeconds(pids);
  const fields = ['-F', 'ip,sym,dso'];
  const script = usesPerf
    ? await runCommand(['perf', 'script', '-i', file, ...fields], { signal: place.signal })
    : null;
  const { shares, samples } = countSamples(script?.stdout ?? '');
  if (samples >= SAMPLES_MIN) {
    return { peer: peer.name, load, shares, processors, source: PERF_SOURCE };
  }
  const user = timesAfter.user - timesBefore.user;
  const system = timesAfter.system - timesBefore.system;
  const all = user + system || 1;
  const split = { 'in the program': user / all, 'in the kernel': system / all };
  return { peer: peer.name, load, shares: split, processors, source: TIMES_SOURCE };
}

const PERF_SOURCE =
  'Samples by perf. "Other hosts" is what the kernel does for the receiver inside our sending call, since a cable ' +
  'between namespaces has no processor of its own: on real wires that is the network card and the other machine.';
const TIMES_SOURCE =
  'From /proc/PID/stat: perf is not installed, or saw next to nothing here (apt-get install linux-perf).';

/** One frame of a stack as `perf script -F ip,sym,dso` prints it: `ffff8000 packet_recvmsg ([kernel.kallsyms])`. */
const FRAME = /^\s*[0-9a-f]+ (.*) \(([^()]*(?:\([^()]*\))?[^()]*)\)$/;

interface Frame {
  readonly symbol: string;
  readonly file: string;
}

/** Rules in the order they are asked; the first that holds names the sample. */
const KINDS: readonly { readonly name: string; readonly is: (stack: readonly Frame[]) => boolean }[] = [
  {
    name: 'other hosts',
    is: (stack) => inKernel(stack) && has(stack, /^(?:handle_softirqs|__do_softirq|net_rx_action)/),
  },
  {
    name: 'kernel receive',
    is: (stack) => inKernel(stack) && has(stack, /recvmmsg|recvmsg|recvfrom|sys_read|vfs_read/),
  },
  { name: 'kernel send', is: (stack) => inKernel(stack) && has(stack, /sendmmsg|sendmsg|sendto|sys_write|vfs_write/) },
  { name: 'kernel wait', is: (stack) => inKernel(stack) && has(stack, /poll|epoll|futex|schedule/) },
  { name: 'kernel, other', is: inKernel },
  { name: 'JS', is: ([leaf]) => isCompiled(leaf) },
  { name: 'FFI', is: (stack) => stack.some(({ file }) => /koffi/.test(file)) },
  { name: 'Node', is: () => true },
];

function inKernel([leaf]: readonly Frame[]): boolean {
  return leaf.file.includes('kernel') || leaf.file.includes('vmlinux');
}

function has(stack: readonly Frame[], pattern: RegExp): boolean {
  return stack.some(({ symbol, file }) => file.includes('kernel') && pattern.test(symbol));
}

/** Code that V8 made while running, and the pieces of JavaScript's own library that it brings along. */
function isCompiled({ symbol, file }: Frame): boolean {
  return symbol.startsWith('Builtins_') || /anon|JIT|perf-[0-9]+\.map|^unknown$|^\[unknown\]$/.test(file);
}

/** The kinds of samples, in the order that tables and pictures show them. */
export const PROFILE_KINDS: readonly string[] = KINDS.map(({ name }) => name);

/** Shares of what `perf script` printed; empty without samples. */
export function countSamples(script: string): { readonly shares: Record<string, number>; readonly samples: number } {
  const counts = new Map<string, number>();
  let total = 0;
  for (const block of script.split(/\n\s*\n/)) {
    const stack = block.split('\n').flatMap((line): Frame[] => {
      const found = FRAME.exec(line);
      return found === null ? [] : [{ symbol: found[1], file: found[2] }];
    });
    if (stack.length === 0) continue;
    const name = KINDS.find(({ is }) => is(stack))?.name ?? 'Node';
    counts.set(name, (counts.get(name) ?? 0) + 1);
    total++;
  }
  const shares = Object.fromEntries(
    KINDS.flatMap(({ name }) => (counts.has(name) ? [[name, (counts.get(name) as number) / total]] : [])),
  );
  return { shares, samples: total };
}
