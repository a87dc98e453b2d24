/**
 * Asks an echo server, one datagram after the other, and notes how long each answer takes. Words: address, port,
 * seconds. Prints percentiles in microseconds and the number of answers that never came, as JSON.
 */
import { getLibc, POLLIN, SOCK_CLOEXEC } from '../../../src/native/libc.ts';
import { NativeMemory } from '../../../src/native/native-memory.ts';
import { percentile } from '../../statistics.ts';
import { socketAddress } from './parse.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const PAYLOAD_BYTES = 64;
/** After so long an answer is lost. */
const PATIENCE_MS = 500;
/** What a flood left behind in queues may have to be forwarded first. */
const FIRST_ANSWER_MS = 5000;
/** The first answers wait for addresses to be resolved and code to be compiled. */
const WARM_UP = 200;

const [target, port, seconds] = process.argv.slice(2) as [string, string, string];
const libc = getLibc();
const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
libc.connect(fd, socketAddress(target, Number(port)));
const memory = new NativeMemory(libc, 4096);
const POLL_AT = 2048;
memory.view.setInt32(POLL_AT, fd, true);
memory.view.setUint16(POLL_AT + 4, POLLIN, true);

const latencies: number[] = [];
let lost = 0;
let number = 0;
waitForFirstAnswer();
for (let i = 0; i < WARM_UP; i++) ask(++number);
const endAt = process.hrtime.bigint() + BigInt(Math.round(Number(seconds) * 1e9));
while (process.hrtime.bigint() < endAt) {
  const microseconds = ask(++number);
  if (microseconds === null) lost++;
  else latencies.push(microseconds);
}
const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => percentile(latencies, share));
process.stdout.write(`${JSON.stringify({ answers: latencies.length, lost, p50, p99, p999 })}\n`);

function waitForFirstAnswer(): void {
  const giveUpAt = process.hrtime.bigint() + BigInt(FIRST_ANSWER_MS) * 1_000_000n;
  while (ask(++number) === null && process.hrtime.bigint() < giveUpAt);
}

/** Microseconds until the answer to this very question came; `null`: it did not. */
function ask(question: number): number | null {
  memory.view.setUint32(0, question);
  const begun = process.hrtime.bigint();
  libc.write(fd, memory.address, PAYLOAD_BYTES);
  for (;;) {
    if (libc.poll(memory.address + POLL_AT, 1, PATIENCE_MS) <= 0) return null;
    libc.read(fd, memory.address + 1024, 1024);
    if (memory.view.getUint32(1024) === question) return Number(process.hrtime.bigint() - begun) / 1000;
  }
}
