/**
 * A process inside a network namespace with two workers that serve one link, each with a fast path: what of theirs the
 * process holds when one is ended from outside and replaced, and when both are. The answer is written as JSON.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Link } from '../../../src/packet-io/packet-io.ts';
import { packetRing } from '../../../src/packet-io/packet-ring.ts';

interface Place {
  readonly link: Link;
  readonly shard: number;
}

async function work({ link, shard }: Place): Promise<void> {
  const io = await packetRing.open({ fastPath: true, shard });
  io.filter?.([[0x06, 0, 0, 0x40000]]);
  io.attach(link);
  parentPort?.once('message', () => {
    io.close();
    parentPort?.close();
  });
  parentPort?.postMessage('ready');
}

async function start(place: Place): Promise<Worker> {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: place });
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  return worker;
}

/** Numbers of the links, in the order they were made, and how many maps there are. */
function held(): { links: string[]; maps: number } {
  const texts = readdirSync('/proc/self/fdinfo').map((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
    } catch {
      return '';
    }
  });
  const links = texts.filter((text) => text.includes('link_type:\ttcx'));
  return {
    links: links.map((text) => /link_id:\s*(\d+)/.exec(text)?.[1] ?? '').sort((a, b) => Number(a) - Number(b)),
    maps: texts.filter((text) => text.includes('map_type:')).length,
  };
}

async function main(): Promise<void> {
  const given = JSON.parse(process.argv[2] ?? '') as Omit<Link, 'mac'> & { mac: number[] };
  const link: Link = { ...given, mac: Uint8Array.from(given.mac) };
  const told: Record<string, ReturnType<typeof held>> = {};
  let workers = [await start({ link, shard: 0 }), await start({ link, shard: 1 })] as [Worker, Worker];
  told['both'] = held();
  await workers[0].terminate();
  told['oneGone'] = held();
  workers[0] = await start({ link, shard: 0 });
  told['replaced'] = held();
  await Promise.all(workers.map((worker) => worker.terminate()));
  told['bothGone'] = held();
  workers = (await Promise.all([0, 1].map((shard) => start({ link, shard })))) as [Worker, Worker];
  told['bothReplaced'] = held();
  for (const worker of workers) {
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    worker.postMessage('close');
    await ended;
  }
  told['closed'] = held();
  process.stdout.write(JSON.stringify(told));
}

if (isMainThread) await main();
else await work(workerData as Place);
