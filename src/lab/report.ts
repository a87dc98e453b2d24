/** What a lab shows: the picture of its network, its progress, and the result in plain words. 80 columns. */

import { endpoint } from './addresses.ts';
import type { RunLabOptions } from './options.ts';
import { clientOf, directorOf, isFallbackLabel, type LabTopology, mainAddress, realServers } from './topology.ts';

const COLUMNS = 80;
const BAR_CELLS = 24;

/** Where text goes; `process.stdout` and `process.stderr` are of this shape. */
export interface TextSink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** The result of a run; printed with `--json` as it is. */
export interface LabResult {
  readonly scenario: string;
  readonly mode: string;
  /** `ipv4` or `ipv6`. */
  readonly family: string;
  /** Of mode `tun`: `ipip`, `gue` or `gre`; otherwise `null`. */
  readonly tunnel: string | null;
  readonly io: string;
  readonly scheduler: string;
  readonly requests: number;
  readonly failed: number;
  readonly requestsPerSecond: number;
  /** Requests that each server counted, by address; the fallback is 127.0.0.1 or ::1. */
  readonly perServer: Readonly<Record<string, number>>;
  /**
   * Connections that `ipvsadm --stats` shows, by address: a few more than requests, since `ab` opens up to
   * `--concurrency` connections at its end that it does not use.
   */
  readonly perServerInTable: Readonly<Record<string, number>>;
  /** Frames the engine dropped, by reason. */
  readonly reasonsDropped: Readonly<Record<string, number>>;
  /** Segments and datagrams with a wrong checksum at the client and the servers; `null`: not verified. */
  readonly wrongChecksums: number | null;
}

/** Progress lines; colours, and lines that are written over, only on a terminal. */
export class Progress {
  readonly #sink: TextSink;
  #overwritable = false;

  constructor(sink: TextSink) {
    this.#sink = sink;
  }

  get live(): boolean {
    return this.#sink.isTTY === true;
  }

  /** A step of the lab. */
  step(text: string): void {
    this.#line(`${this.#paint('32', '>')} ${text}`);
  }

  /** Something that another program said, or a detail. */
  detail(text: string): void {
    this.#line(this.#paint('2', `    ${this.live ? shorten(text, COLUMNS - 4) : text}`));
  }

  /** Something that went wrong as planned, or ought to be read. */
  notice(text: string): void {
    this.#line(`${this.#paint('33', '!')} ${text}`);
  }

  /** Text as it is. */
  block(text: string): void {
    this.#line(text.replace(/\n$/, ''));
  }

  /** A line that the next one writes over; shown on terminals only. */
  passing(text: string): void {
    if (!this.live) return;
    this.#sink.write(`\r\x1b[K${shorten(text, COLUMNS - 1)}`);
    this.#overwritable = true;
  }

  /** Removes the passing line. */
  clearPassing(): void {
    if (this.#overwritable) this.#sink.write('\r\x1b[K');
    this.#overwritable = false;
  }

  #line(text: string): void {
    this.clearPassing();
    this.#sink.write(`${text}\n`);
  }

  #paint(code: string, text: string): string {
    return this.live ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}

function shorten(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, columns - 3)}...`;
}

/** The network as boxes and lines. `client` and `director`: the programs that run there. */
export function drawTopology(topology: LabTopology, client = 'ab', director = 'uipvsd, uldirectord'): string {
  const virtual = `VIP ${endpoint(topology.virtualAddress, topology.virtualPort)}`;
  const servers = realServers(topology).map(({ name, address, port }) => `${name}  ${endpoint(address, port)}`);
  if (Object.keys(topology.networks).length === 0) {
    return indented(box('this host', [client, `${virtual} on lo`, director, ...servers]));
  }
  const addresses = directorOf(topology).links.map((link) => link.addresses[0].split('/')[0]);
  const boxes = [
    box('client', [mainAddress(clientOf(topology)), client]),
    box('director', [...addresses, virtual, director]),
    box('servers', servers),
  ];
  const rows = beside(boxes, '   ');
  const widths = boxes.map((lines) => lines[0].length);
  const starts = widths.map((_, index) => widths.slice(0, index).reduce((sum, width) => sum + width + 3, 0));
  const middles = starts.map((start, index) => start + Math.floor(widths[index] / 2));
  const total = starts[2] + widths[2];
  const drops = (columns: readonly number[]) => mark(' '.repeat(total), columns, '|');
  const lines = [...rows];
  if (topology.networks['clients'] !== undefined) {
    const [left, right] = [middles[1] - 6, middles[1] + 6];
    lines.push(drops([middles[0], left, right, middles[2]]));
    const wires = `${'='.repeat(left + 3)}${' '.repeat(right - left - 5)}${'='.repeat(total - right + 2)}`;
    lines.push(mark(wires, [middles[0], left, right, middles[2]], '+'));
    lines.push(`${topology.networks['clients'].padEnd(right - 2)}${topology.networks['servers']}`);
  } else {
    lines.push(drops(middles));
    lines.push(`${mark('='.repeat(total), middles, '+')}`);
    lines.push(topology.networks['servers']);
  }
  return indented(lines);
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`.trimEnd()).join('\n');
}

function box(title: string, lines: readonly string[]): string[] {
  const width = Math.max(title.length + 2, ...lines.map((line) => line.length));
  const top = `+-${` ${title} `.padEnd(width, '-')}-+`;
  return [top, ...lines.map((line) => `| ${line.padEnd(width)} |`), `+${'-'.repeat(width + 2)}+`];
}

/** Boxes side by side, standing on the same ground. */
function beside(boxes: readonly (readonly string[])[], gap: string): string[] {
  const height = Math.max(...boxes.map((lines) => lines.length));
  return Array.from({ length: height }, (_, row) =>
    boxes.map((lines) => lines[row - (height - lines.length)] ?? ' '.repeat(lines[0].length)).join(gap),
  );
}

function mark(line: string, columns: readonly number[], sign: string): string {
  const signs = [...line];
  for (const column of columns) signs[column] = sign;
  return signs.join('');
}

/** One line for while requests are under way. */
export function formatPassing(served: Readonly<Record<string, number>>, requests: number): string {
  const total = Object.values(served).reduce((sum, count) => sum + count, 0);
  const parts = Object.entries(served).map(([address, count]) => `${shortName(address)} ${count}`);
  return `  ${total} of ${requests} answered   ${parts.join('   ')}`;
}

/** `.11`, `:11` (IPv6), `:8001`. */
function shortName(label: string): string {
  return isFallbackLabel(label) ? 'fallback' : (/[.:][^.:]*$/.exec(label)?.[0] ?? label);
}

/** The distribution as bars: requests as the servers count them, connections as the director does. */
export function formatDistribution(result: LabResult): string {
  const most = Math.max(1, ...Object.values(result.perServer));
  const row = (name: string, counts: readonly (number | string)[], bar: string) =>
    `  ${name.padEnd(21)}${counts.map((count) => String(count).padStart(13)).join('')}  ${bar}`.trimEnd();
  const title = row('server', ['requests', 'connections'], '');
  const rows = Object.entries(result.perServer).map(([address, count]) => {
    const name = isFallbackLabel(address) ? `${address} (fallback)` : address;
    const counts = [count, result.perServerInTable[address] ?? '-'];
    return row(name, counts, '#'.repeat(Math.round((count / most) * BAR_CELLS)));
  });
  return [title, ...rows].join('\n');
}

/** The result in sentences; `remarks` are the scenario's own. */
export function formatSummary(result: LabResult, options: RunLabOptions, remarks: readonly string[] = []): string {
  const answered = result.requests - result.failed;
  const rate = Math.round(result.requestsPerSecond);
  const lines = [
    `${answered} of ${result.requests} requests were answered, ${result.failed} were lost; ${rate} requests a second.`,
  ];
  const servers = Object.entries(result.perServer).filter(([address]) => !isFallbackLabel(address));
  const counts = servers.map(([, count]) => count);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  // The last connections of ab, up to its concurrency, may end without a request.
  const evenly = most - least <= options.concurrency;
  if (options.steps.length === 0 && result.scheduler === 'rr' && evenly) {
    lines.push(`The servers took turns: ${least} to ${most} requests each.`);
  }
  for (const [address, count] of Object.entries(result.perServer)) {
    if (isFallbackLabel(address) && count > 0) {
      lines.push(`${count} requests found no server alive and got the fallback page.`);
    }
  }
  lines.push(...remarks);
  const dropped = Object.entries(result.reasonsDropped).filter(([, count]) => count > 0);
  if (dropped.length > 0) {
    lines.push(`Packets dropped by uipvsd: ${dropped.map(([reason, count]) => `${count} ${reason}`).join(', ')}.`);
  }
  if (result.wrongChecksums === null && result.io !== 'sockets') {
    lines.push('Checksums were not verified; that needs ethtool, and a network card or cable between the hosts.');
  } else if ((result.wrongChecksums ?? 0) > 0)
    lines.push(`${result.wrongChecksums} packets arrived with a wrong checksum.`);
  return lines.join('\n');
}
