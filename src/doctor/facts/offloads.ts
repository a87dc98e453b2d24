/** Offloads of the network cards, as `ethtool -k` tells them. */
import { type Known, known } from '../facts.ts';
import { runTool } from './tool.ts';

/** By link, then by ethtool's name of the feature: `eth0` -> `large-receive-offload` -> true. */
export type OffloadFacts = Readonly<Record<string, Readonly<Record<string, boolean>>>>;

export async function readOffloads(links: readonly string[]): Promise<Known<OffloadFacts>> {
  const facts: Record<string, Record<string, boolean>> = {};
  for (const link of links) {
    const printed = await runTool('ethtool', ['-k', link]);
    if (!printed.known) return printed;
    facts[link] = parseFeatures(printed.value);
  }
  return known(facts);
}

/** `large-receive-offload: off [fixed]` */
export function parseFeatures(text: string): Record<string, boolean> {
  const features = [...text.matchAll(/^\s*([a-z0-9-]+): (on|off)\b/gm)];
  return Object.fromEntries(features.map(([, name, state]) => [name, state === 'on']));
}
