/** `uipvs trace`: packets as they pass, one line each, with what became of them. */

import { IpvsError } from '../model/errors.ts';
import { FILTER_SYNTAX, parsePacketFilter } from '../model/packet-filter.ts';
import type { PacketTrace } from '../model/packet-trace.ts';
import { type Cli, toJson, withDaemon } from './cli.ts';
import { type Word, wholeNumber } from './command-line.ts';
import { paintFor, withWayOut } from './explain.ts';

const PERIOD_MS = 200;
/** As much of a packet as its line needs: headers, and a quoted packet. */
const SNAP_BYTES = 256;
const PROFILES = ['all', 'drops', 'new-connections', 'resets'] as const;

export function traceWord(cli: Cli): Word {
  return {
    name: 'trace',
    summary: 'show packets as they pass, one line each, and what became of them',
    operands: '[filter...]',
    options: [
      {
        flags: '--profile <name>',
        description: `what to show: ${PROFILES.join(', ')}`,
        choices: PROFILES,
        preset: 'all',
      },
      { flags: '--count <packets>', description: 'end after so many', parse: wholeNumber(1, 2 ** 31) },
      { flags: '--seconds <count>', description: 'end after so long', parse: wholeNumber(1, 86_400) },
      {
        flags: '--rate <lines>',
        description: 'lines a second at most; what is left out is counted',
        preset: 100,
        parse: wholeNumber(1, 2_000),
      },
      { flags: '--json', description: 'print JSON, one packet a line' },
    ],
    notes: `Filter: ${FILTER_SYNTAX}
host and port look at all ends: of the packet as it came, as it left, and of its connection; src and dst at the packet.

  uipvs trace                                   everything
  uipvs trace tcp port 80 and not host 10.0.0.9
  uipvs trace --profile drops                   what is dropped, with the reason

Behind the arrow stands where it went and why: 10.1.0.12:80 (wlc 128 < 778). \`uipvs explain --next FILTER\` tells one
packet in full. Watching costs something while it lasts, and ends by itself.

Exit codes: 0 done, 1 it could not be done, 2 the words were not understood. Ctrl-C ends it and is no failure.`,
    run: async ({ operands, profile, count, seconds, rate, json }) => {
      const filter = (operands as readonly string[]).join(' ');
      parsePacketFilter(filter);
      const paint = await paintFor(cli);
      const { formatTraceLine } = await import('../explain/trace-line.ts');
      const line = (trace: PacketTrace, agoMs: number): string => {
        const time = new Date(Date.now() - agoMs);
        if (json === true) return toJson({ ...trace, time: time.toISOString() }, true);
        return `${formatTraceLine(trace, formatTime(time), paint)}\n`;
      };
      const limits = {
        packets: (count as number | undefined) ?? Number.POSITIVE_INFINITY,
        periods: seconds === undefined ? Number.POSITIVE_INFINITY : ((seconds as number) * 1000) / PERIOD_MS,
      };
      try {
        return await withDaemon(cli, async (daemon) => {
          const id = `trace-${process.pid}`;
          const wish = { name: 'readTrace', id, filter, profile: profile as string, snapBytes: SNAP_BYTES } as const;
          let shown = 0;
          let leftOut = 0;
          // A second's lines may come at once.
          let credit = rate as number;
          try {
            for (let period = 0; period < limits.periods && shown < limits.packets; period++) {
              const { traces, nowMs, missed } = await daemon.execute<'readTrace'>(wish);
              const room = Math.min(Math.floor(credit), limits.packets - shown);
              const lines = traces.slice(0, room).map((trace) => line(trace, nowMs - trace.timeMs));
              shown += lines.length;
              credit = Math.min(rate as number, credit - lines.length + ((rate as number) * PERIOD_MS) / 1000);
              const left = missed + (shown < limits.packets ? traces.length - lines.length : 0);
              leftOut += left;
              if (left > 0 && json !== true) lines.push(paint('dim', `... ${left} more, left out (--rate)\n`));
              if (lines.length > 0) await cli.stdout(lines.join(''));
              if (shown >= limits.packets || !(await cli.pause(PERIOD_MS))) break;
            }
          } finally {
            await daemon.execute({ name: 'readTrace', id, limit: 0 }).catch(() => {});
          }
          await cli.stderr(`packets shown: ${shown}, left out: ${leftOut}\n`);
          return 0;
        });
      } catch (error) {
        // A trace needs traffic, so a file is no way out here.
        throw error instanceof IpvsError && error.code === 'EOPNOTSUPP' ? withWayOut(error) : error;
      }
    },
  };
}

/** `14:12:03.250`, as tcpdump writes the time of day. */
function formatTime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const milliseconds = String(time.getMilliseconds()).padStart(3, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${milliseconds}`;
}
