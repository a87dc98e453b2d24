/** What uipvs is held to, as ratios within one run, and whether it got there. */
import { figureOf, nftOnItsOwnCore, type PeerResult } from './results.ts';

interface Goal {
  readonly text: string;
  readonly figure: string;
  readonly against: 'haproxy' | 'nft' | 'nft on its own core';
  readonly bound: number;
  readonly at: 'least' | 'most';
  /** Who else is held to it, beside what a user gets without asking: the back end that is there for it. */
  readonly also?: string;
}

const GOALS: readonly Goal[] = [
  { text: 'ab, 20 at once', figure: 'ab-20', against: 'haproxy', bound: 1.5, at: 'least' },
  { text: 'ab, 20 at once', figure: 'ab-20', against: 'nft', bound: 1.0, at: 'least' },
  { text: 'ab, 50 at once', figure: 'ab-50', against: 'haproxy', bound: 1.5, at: 'least' },
  { text: 'ab, 50 at once', figure: 'ab-50', against: 'nft', bound: 1.0, at: 'least' },
  { text: 'one TCP stream', figure: 'bulk-1', against: 'haproxy', bound: 1.8, at: 'least' },
  { text: 'one TCP stream', figure: 'bulk-1', against: 'nft', bound: 0.9, at: 'least' },
  { text: 'small packets', figure: 'packets-1', against: 'nft', bound: 1.5, at: 'least', also: 'xdp' },
  { text: 'small packets', figure: 'packets-1', against: 'nft on its own core', bound: 0.8, at: 'least', also: 'xdp' },
  { text: 'UDP echo, p50', figure: 'echo-p50', against: 'nft', bound: 2, at: 'most', also: 'xdp' },
  { text: 'UDP echo, p99', figure: 'echo-p99', against: 'nft', bound: 3, at: 'most' },
];

export interface GoalResult {
  readonly text: string;
  /** The peer that was held to it. */
  readonly peer: string;
  /** `null`: one of the two figures is missing. */
  readonly ratio: number | null;
  readonly met: boolean | null;
  /** The same ratio in each round by itself, lowest and highest: how far noise carries it. */
  readonly byRound: readonly [lowest: number, highest: number] | null;
}

/** `ours`: the back end that a user gets without asking. Others are held to a goal where they were measured. */
export function evaluateGoals(peers: readonly PeerResult[], ours: string): GoalResult[] {
  return GOALS.flatMap((goal) => {
    const { also } = goal;
    const own = evaluate(goal, peers, ours);
    if (also === undefined || also === ours || figureOf(peers, also, goal.figure) === null) return [own];
    return [own, evaluate(goal, peers, also)];
  });
}

function evaluate({ text, figure, against, bound, at }: Goal, peers: readonly PeerResult[], peer: string): GoalResult {
  const own = figureOf(peers, peer, figure);
  const theirs = against === 'nft on its own core' ? nftOnItsOwnCore(peers) : figureOf(peers, against, figure);
  const ratio = own === null || theirs === null || theirs === 0 ? null : own / theirs;
  const met = ratio === null ? null : at === 'least' ? ratio >= bound : ratio <= bound;
  return {
    text: `${text}: at ${at} ${bound.toFixed(1)} x ${against}`,
    peer,
    ratio,
    met,
    byRound: ratiosByRound(peers, peer, against, figure),
  };
}

/** `null` where there is one round, or a round is missing for one of the two. */
function ratiosByRound(
  peers: readonly PeerResult[],
  ours: string,
  against: string,
  figure: string,
): GoalResult['byRound'] {
  const [own, theirs] = [ours, against].map(
    (name) => peers.find((each) => each.name === name)?.figures[figure]?.values,
  );
  if (own === undefined || theirs === undefined || own.length < 2 || own.length !== theirs.length) return null;
  const ratios = own.map((value, round) => value / theirs[round]);
  return [Math.min(...ratios), Math.max(...ratios)];
}

/** A line for people. */
export function goalLine({ text, peer, ratio, met, byRound }: GoalResult): string {
  if (met === null || ratio === null) return `${text}: not measured`;
  const rounds = byRound === null ? '' : ` (${byRound.map((each) => each.toFixed(2)).join('..')} by round)`;
  return `${text}: ${met ? 'met' : 'NOT met'}, ${peer} has ${ratio.toFixed(2)} x${rounds}`;
}
