/** One packet in one line, in tcpdump's shape, and behind it what became of it. */
import type { PacketTrace } from '../model/packet-trace.ts';
import { formatFrame } from '../wire/print.ts';
import { bytesOfHex } from './hex.ts';
import type { Paint } from './paint.ts';
import { endpoint } from './steps.ts';

/** `12:00:01.250 c0 IP 10.0.0.5.40000 > 10.0.0.100.80: Flags [S], ... -> 10.1.0.12:80 (wlc 128 < 778)` */
export function formatTraceLine(trace: PacketTrace, time: string, paint: Paint): string {
  // As long as it was, whatever was kept of it: otherwise its line would call it truncated.
  const whole = new Uint8Array(trace.bytes);
  whole.set(bytesOfHex(trace.frame).subarray(0, trace.bytes));
  const packet = formatFrame(whole);
  const outcome = paint(trace.verdict === 'drop' ? 'bad' : 'good', outcomeOf(trace));
  return `${paint('dim', time)} ${trace.link} ${packet} → ${outcome}`;
}

function outcomeOf(trace: PacketTrace): string {
  const { verdict, reason, connection, egress } = trace;
  const because = reason === 'none' ? '' : `: ${reason}`;
  if (verdict === 'drop') return `dropped${because}`;
  if (verdict === 'pass') return `host${because}`;
  if (connection === null) return verdict === 'consume' ? `taken in${because}` : verdict;
  const to = endpoint(connection.direction === 'inbound' ? connection.after.destination : connection.after.client);
  const wait = egress !== null && egress.mac === null ? ', waits for its MAC' : '';
  return `${to}${whyThere(trace)}${stateOf(trace)}${wait}`;
}

function whyThere({ choice, template, connection }: PacketTrace): string {
  if (choice !== null) return ` (${choice.scheduler}${comparison(choice)})`;
  if (template !== null) return ' (template)';
  return connection?.isError === true ? ' (ICMP error)' : '';
}

/** ` 128 < 778`: the value of the chosen one first, where there are values. */
function comparison({ candidates, chosen }: NonNullable<PacketTrace['choice']>): string {
  const values = candidates.map(({ server, sum, passedBy }) => ({
    isChosen: chosen !== null && server.address === chosen.address && server.port === chosen.port,
    value: passedBy === null ? (sum?.split(' = ')[1] ?? null) : null,
  }));
  const own = values.find(({ isChosen }) => isChosen)?.value ?? null;
  const others = values.filter(({ isChosen, value }) => !isChosen && value !== null).map(({ value }) => Number(value));
  if (own === null) return '';
  if (others.length === 0) return ` ${own}`;
  const next = Math.min(...others);
  return ` ${own} ${Number(own) < next ? '<' : Number(own) === next ? '=' : '>'} ${next}`;
}

function stateOf({ connection }: PacketTrace): string {
  if (connection === null || connection.isError) return '';
  const { stateBefore, after } = connection;
  return stateBefore === after.state ? '' : ` ${stateBefore} → ${after.state}`;
}
