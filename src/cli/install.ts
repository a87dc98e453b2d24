/** `uipvs install`: links with the names that scripts know, `ipvsadm` and `ldirectord`, to the programs of this package. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Cli } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { type Group, InstallError, type Plan, planInstall, planUndo } from './install-plan.ts';

const GROUPS = {
  asIpvsadm: [
    { name: 'ipvsadm', program: 'uipvsadm' },
    { name: 'ipvsadm-save', program: 'uipvsadm-save' },
    { name: 'ipvsadm-restore', program: 'uipvsadm-restore' },
  ],
  asLdirectord: [{ name: 'ldirectord', program: 'uldirectord' }],
} as const satisfies Record<string, Group>;

export function installWord(cli: Cli): Word {
  return {
    name: 'install',
    summary: 'let scripts that type ipvsadm or ldirectord find the programs of uipvs',
    options: [
      { flags: '--as-ipvsadm', description: 'make ipvsadm, ipvsadm-save and ipvsadm-restore' },
      { flags: '--as-ldirectord', description: 'make ldirectord' },
      {
        flags: '--prefix <directory>',
        description: `where the links go (default: ${cli.installation.linkDirectory}, on Debian by update-alternatives)`,
      },
      { flags: '--undo', description: 'remove what this made, and nothing else' },
      { flags: '--dry-run', description: 'say what would be done' },
    ],
    notes: `A program that is there already is never replaced: then nothing is changed, and what you can type is said.
What is done already is not done again.

Exit codes: 0 done, 1 it could not be done, 2 the words were not understood.`,
    run: async ({ asIpvsadm, asLdirectord, prefix, undo, dryRun }) => {
      const groups = [...(asIpvsadm ? [GROUPS.asIpvsadm] : []), ...(asLdirectord ? [GROUPS.asLdirectord] : [])];
      if (groups.length === 0) {
        await cli.stderr('uipvs install: type --as-ipvsadm, --as-ldirectord or both\n');
        return USAGE_EXIT_CODE;
      }
      const { installation } = cli;
      const linkDirectory = resolve((prefix as string | undefined) ?? installation.linkDirectory);
      const usual = linkDirectory === installation.linkDirectory;
      const place = { ...installation, linkDirectory, alternatives: usual ? installation.alternatives : null };
      try {
        // All is planned before anything is done, so a refusal changes nothing.
        const plans = groups.map((group) => (undo ? planUndo(group, place) : planInstall(group, place)));
        for (const plan of plans) await carryOut(cli, plan, dryRun === true);
      } catch (error) {
        if (!(error instanceof InstallError)) throw error;
        await cli.stderr(`uipvs install: ${error.message}\n`);
        return 1;
      }
      if (!undo) await warnWithoutNode(cli);
      return 0;
    },
  };
}

async function carryOut(cli: Cli, { steps, already }: Plan, dryRun: boolean): Promise<void> {
  for (const text of already) await cli.stdout(`${text}\n`);
  for (const step of steps) {
    if (!dryRun) step.run();
    await cli.stdout(`${dryRun ? 'would ' : ''}${step.text}\n`);
  }
}

/** The programs begin with `#!/usr/bin/env node`, which a service with a short PATH must be able to follow. */
async function warnWithoutNode(cli: Cli): Promise<void> {
  const { standardPath } = cli.installation;
  if (standardPath.some((directory) => existsSync(join(directory, 'node')))) return;
  await cli.stderr(
    `uipvs install: services and cron will not find node, which is in none of ${standardPath.join(', ')}; ` +
      `type \`ln -s ${process.execPath} /usr/local/bin/node\`\n`,
  );
}
