/**
 * Captures in the director's namespace: one tcpdump a link, merged by time into one file at the end, so that a
 * packet stands beside what became of it.
 */
import type { ChildProcess } from 'node:child_process';
import { openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { LabError, pause, startCommand, waitFor } from './host.ts';
import type { Lab } from './run.ts';

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;
/** The kernel hands packets to tcpdump after a second at the latest. */
const SETTLED_MS = 1200;
const KERNEL_BUFFER_KIB = '16384';

interface Tcpdump {
  readonly process: ChildProcess;
  /** Its capture, in the lab's folder. */
  readonly file: string;
  readonly said: () => string;
  readonly ended: () => boolean;
}

export class Capture {
  readonly #running: readonly Tcpdump[];

  private constructor(running: readonly Tcpdump[]) {
    this.#running = running;
  }

  /** Starts to capture on every link of the director, or on `lo` when it has no other; returns once all listen. */
  static async start(lab: Lab, signal: AbortSignal): Promise<Capture> {
    const links = lab.director.links.map((link) => link.name);
    const running = (links.length > 0 ? links : ['lo']).map((link) => startTcpdump(lab, link));
    for (const tcpdump of running) {
      const listening = () => (tcpdump.ended() || tcpdump.said().includes('listening on') ? true : null);
      await waitFor(listening, { timeoutMs: START_TIMEOUT_MS, everyMs: 20, signal });
      if (!tcpdump.said().includes('listening on'))
        throw new LabError(`tcpdump did not start: ${tcpdump.said().trim()}`);
    }
    return new Capture(running);
  }

  /** Ends the capture and writes it to `file`. Returns how many packets it holds and how many the kernel lost. */
  async finish(file: string, signal: AbortSignal): Promise<{ packets: number; lost: number }> {
    // Ended at once, tcpdump would leave behind what the kernel still holds for it.
    await this.#drain(signal);
    for (const tcpdump of this.#running) tcpdump.process.kill('SIGINT');
    const over = () => (this.#running.every((tcpdump) => tcpdump.ended()) ? true : null);
    await waitFor(over, { timeoutMs: STOP_TIMEOUT_MS, everyMs: 20, signal });
    const merged = mergeCaptures(this.#running.map((tcpdump) => readFileSync(tcpdump.file)));
    writeFileSync(file, merged.bytes);
    const lost = this.#running.map((tcpdump) =>
      Number(/(\d+) packets? dropped by kernel/.exec(tcpdump.said())?.[1] ?? 0),
    );
    return { packets: merged.packets, lost: lost.reduce((sum, count) => sum + count, 0) };
  }

  /** Waits until the files have stopped growing. */
  async #drain(signal: AbortSignal): Promise<void> {
    const size = () => this.#running.reduce((sum, tcpdump) => sum + statSync(tcpdump.file).size, 0);
    let last = -1;
    while (last !== size()) {
      last = size();
      await pause(SETTLED_MS, signal);
    }
  }
}

function startTcpdump(lab: Lab, link: string): Tcpdump {
  const file = lab.path(`${link}.pcap`);
  const how = ['-i', link, '-n', '-U', '-s', '0', '-B', KERNEL_BUFFER_KIB, '-Z', 'root', '-w', '-'];
  // tcpdump writes to standard output: some systems let it open only files of certain names.
  const process_ = startCommand(lab.onHost(lab.director, ['tcpdump', ...how]), lab.id, {
    stdio: ['ignore', openSync(file, 'w'), 'pipe'],
  });
  let said = '';
  let ended = false;
  process_.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  process_.on('error', (error) => {
    said += error.message;
    ended = true;
  });
  process_.on('close', () => (ended = true));
  return { process: process_, file, said: () => said, ended: () => ended };
}

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** A capture file with times in microseconds, in this machine's byte order. Source: draft-ietf-opsawg-pcap. */
const MAGIC = 0xa1b2c3d4;

/** Puts the packets of several captures of the same kind into one, in order of time. Half a last packet is left out. */
export function mergeCaptures(captures: readonly Buffer[]): { bytes: Buffer; packets: number } {
  const whole = captures.filter((capture) => capture.length >= FILE_HEADER_BYTES);
  const records = whole.flatMap(splitRecords);
  records.sort((a, b) => a.time - b.time);
  const bytes = Buffer.concat([
    whole[0]?.subarray(0, FILE_HEADER_BYTES) ?? Buffer.alloc(0),
    ...records.map((record) => record.bytes),
  ]);
  return { bytes, packets: records.length };
}

function splitRecords(capture: Buffer): { time: number; bytes: Buffer }[] {
  const little = capture.readUInt32LE(0) === MAGIC;
  if (!little && capture.readUInt32BE(0) !== MAGIC) throw new LabError('tcpdump wrote a file of an unknown kind');
  const read = (at: number) => (little ? capture.readUInt32LE(at) : capture.readUInt32BE(at));
  const records: { time: number; bytes: Buffer }[] = [];
  let at = FILE_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= capture.length) {
    const end = at + RECORD_HEADER_BYTES + read(at + 8);
    if (end > capture.length) break;
    records.push({ time: read(at) * 1e6 + read(at + 4), bytes: capture.subarray(at, end) });
    at = end;
  }
  return records;
}
