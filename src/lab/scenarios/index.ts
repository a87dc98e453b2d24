/** Every scenario, in the order in which they are listed. */
import { dns } from './dns.ts';
import { ftp } from './ftp.ts';
import type { ScenarioKind } from './kind.ts';
import { oneHost } from './one-host.ts';
import { proxy } from './proxy.ts';
import { realLdirectord } from './real-ldirectord.ts';
import { reload } from './reload.ts';
import { tutorial } from './tutorial.ts';
import { tutorialLiteral } from './tutorial-literal.ts';

const ALL: readonly ScenarioKind[] = [tutorial, oneHost, dns, ftp, reload, realLdirectord, tutorialLiteral, proxy];

export const SCENARIOS: Readonly<Record<string, ScenarioKind>> = Object.fromEntries(
  ALL.map((scenario) => [scenario.name, scenario]),
);
