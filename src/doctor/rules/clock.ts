/** The clock was set while the daemon ran. */
import { defineRule } from '../rule.ts';

/** Noted when the daemon was ready: up to so long after its process began, on a machine that has much to do. */
const START_SECONDS_MAX = 30;
/** Of the time that has passed, as slewing of NTP may change it (500 ppm), and what reading two clocks costs. */
const SLEW = 0.000_6;
const READING_SECONDS = 2;

export const clock = defineRule({
  name: 'clock',
  summary: 'the clock jumped',
  needs: ['clock'],
  examine: ({ clock: { daemonByClockSeconds, daemonByKernelSeconds, watchByClockSeconds, watchByKernelSeconds } }) => {
    const since = daemonByClockSeconds - daemonByKernelSeconds;
    const slack = READING_SECONDS + daemonByKernelSeconds * SLEW;
    const now = watchByClockSeconds - watchByKernelSeconds;
    const jumps = [
      ...(since > slack || since < -START_SECONDS_MAX - slack
        ? [
            {
              says: `uipvsd runs for ${daemonByKernelSeconds.toFixed(0)} s by the kernel's ticks and ${daemonByClockSeconds.toFixed(0)} s by the clock: it was set ${inWords(since)}`,
              shownBy: 'ps -o etimes= -p PID; uipvs status',
            },
          ]
        : []),
      ...(Math.abs(now) > READING_SECONDS
        ? [
            {
              says: `${watchByKernelSeconds.toFixed(1)} s passed during this examination, and the clock went ${watchByClockSeconds.toFixed(1)} s: it was set ${inWords(now)}`,
              shownBy: 'date; cat /proc/uptime',
            },
          ]
        : []),
    ];
    if (jumps.length === 0) {
      return { fine: `clock and kernel agree on the ${daemonByKernelSeconds.toFixed(0)} s since uipvsd was started` };
    }
    return {
      found: [
        {
          service: null,
          servers: [],
          what: `the clock of this host was set while uipvsd ran`,
          evidence: jumps,
          why: 'connections are timed by a clock that nobody can set and are fine; times in logs, in `uipvs health` and in certificates’ checks are not, and two directors no longer agree',
          cures: [
            {
              on: 'here',
              does: 'keeps the clock by NTP, which moves it slowly; then start uipvsd anew when it suits',
              commands: [['timedatectl', 'set-ntp', 'true']],
              undo: null,
            },
          ],
        },
      ],
    };
  },
});

function inWords(seconds: number): string {
  return `${Math.abs(seconds).toFixed(0)} s ${seconds > 0 ? 'forward' : 'back'}`;
}
