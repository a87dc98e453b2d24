/** Questions that several labs ask: a line each, answered by real traffic or by the state of a host. */
import { endpoint } from '../addresses.ts';
import { parseTable } from '../director.ts';
import { pause, waitFor } from '../host.ts';
import { realServers } from '../topology.ts';
import type { Check } from './kind.ts';
import type { Answers, Question, Visit } from './visit.ts';

/** Enough for every server of a round to have several turns. */
const REQUESTS = 12;
/** How often the table's counts are brought up to date, and patience with it. */
const COUNTED_EVERY_MS = 2200;
const COUNTED_TIMEOUT_MS = 10_000;

/** The client asks the service, and all is answered. */
export function clientIsAnswered(question: Partial<Question> = {}, item?: string): Check {
  const { count = REQUESTS, protocol = 'http' } = question;
  const what = protocol === 'udp' ? 'datagrams' : 'requests';
  return {
    item: item ?? `${count} ${what} of the client to the virtual address are all answered`,
    test: async (visit) => allAnswered(await visit.ask({ ...question, count })),
  };
}

export function allAnswered(answers: Answers): { passed: boolean; evidence: string } {
  return { passed: answers.answered === answers.asked, evidence: answers.text };
}

/** Each real server has a share of what the client asks. */
export function everyServerTakesPart(question: Partial<Question> = {}): Check {
  return {
    item: 'every real server takes part',
    test: async (visit) => {
      const { byServer, text } = await visit.ask({ count: REQUESTS, ...question });
      return { passed: serverNames(visit).every((name) => (byServer[name] ?? 0) > 0), evidence: text };
    },
  };
}

export function serverNames(visit: Visit): string[] {
  return realServers(visit.lab.topology).map(({ name }) => name);
}

/** Where the servers see the client: at its own address, or at the director's. */
export function serversSeeClientAt(item: string, address: string, question: Partial<Question> = {}): Check {
  return {
    item,
    test: async (visit) => {
      const { seenAs, text } = await visit.ask({ count: 6, ...question });
      const passed = seenAs.length === 1 && seenAs[0] === address;
      return { passed, evidence: seenAs.length > 0 ? `the servers see ${seenAs.join(', ')}` : text };
    },
  };
}

/** uipvsd is there, and each real server is in its table with a weight. */
export const tableIsComplete: Check = {
  item: 'the director has every real server in its table, with a weight above 0',
  test: async (visit) => {
    const { code, stdout, stderr } = await visit.sh('director', 'ipvsadm -Ln');
    if (code !== 0) return { passed: false, evidence: lastLine(stderr) };
    const serving = parseTable(stdout).filter(({ weight }) => weight > 0);
    const here = new Set(serving.map(({ address, port }) => endpoint(address, port)));
    const wanted = realServers(visit.lab.topology).map(({ address, port }) => endpoint(address, port));
    const absent = wanted.filter((at) => !here.has(at));
    return {
      passed: absent.length === 0,
      evidence: absent.length === 0 ? `ipvsadm -Ln: ${[...here].join(', ')}` : `not serving: ${absent.join(', ')}`,
    };
  },
};

/** No host but the director says that it has the virtual address. */
export const onlyDirectorAnswersArp: Check = {
  item: 'only the director answers ARP for the virtual address',
  test: async (visit) => {
    const who = await visit.arpAnswers(visit.lab.topology.virtualAddress);
    return {
      passed: who.length > 0 && who.every((name) => name.startsWith('director')),
      evidence: who.length === 0 ? 'nobody answers' : `answered by ${who.join(', ')}`,
    };
  },
};

/** Each server answers the director at its own address: what health checks see. */
export const serversAnswerDirector: Check = {
  item: 'every real server answers the director',
  test: async (visit) => {
    const { passed, evidence } = await askEach(visit, 'director');
    return { passed, evidence };
  },
};

/** Asks every server of the lab itself, from this host. */
export async function askEach(visit: Visit, from: string): Promise<{ passed: boolean; evidence: string }> {
  const asked = await Promise.all(
    realServers(visit.lab.topology).map(async ({ name, address, port }) => {
      const { answered, failures } = await visit.ask({ from, address, port, count: 1 });
      return { name, good: answered === 1, why: Object.keys(failures)[0] ?? '' };
    }),
  );
  const bad = asked.filter(({ good }) => !good);
  return {
    passed: bad.length === 0,
    evidence:
      bad.length === 0
        ? `${asked.map(({ name }) => name).join(', ')} answered`
        : bad.map(({ name, why }) => `${name}: ${why}`).join('; '),
  };
}

/** No answer comes back through the director, as in direct routing and tunnels. */
export function answersBypassDirector(question: Partial<Question> = {}): Check {
  return {
    item: 'the servers answer the client directly: the director counts no outgoing packets',
    test: async (visit) => {
      await pause(COUNTED_EVERY_MS, visit.signal);
      const before = await countedPackets(visit);
      const { text, answered, asked } = await visit.ask({ count: 6, ...question });
      const after = async () => {
        const now = await countedPackets(visit);
        return now.incoming > before.incoming ? now : null;
      };
      const timing = { timeoutMs: COUNTED_TIMEOUT_MS, everyMs: 500, signal: visit.signal };
      const counts = (await waitFor(after, timing)) ?? before;
      const [incoming, outgoing] = [counts.incoming - before.incoming, counts.outgoing - before.outgoing];
      return {
        // The director's own ICMP errors to the client count as well; an answer would be several packets.
        passed: answered === asked && incoming > 0 && outgoing < answered,
        evidence: `${text}; packets in ${incoming}, out ${outgoing}`,
      };
    },
  };
}

/** Packets of the service in both directions, as the table shows them: it is brought up to date every two seconds. */
async function countedPackets(visit: Visit): Promise<{ incoming: number; outgoing: number }> {
  const stats = await visit.mustSh('director', 'ipvsadm -Ln --stats --exact');
  // Connections, packets in, packets out.
  const line = /^(?:TCP|UDP) +\S+ +\d+ +(\d+) +(\d+)/m.exec(stats);
  return { incoming: Number(line?.[1] ?? 0), outgoing: Number(line?.[2] ?? 0) };
}

export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
