/** `uipvs guard`: the filter rules that keep the host's own stack quiet about what the engine serves. */
import type { Cli } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';

export function guardWord(cli: Cli): Word {
  return {
    name: 'guard',
    summary: 'show or remove the rules that keep the host quiet about the virtual services',
    options: [
      { flags: '--show', description: 'print the rules in force (what happens without options)' },
      { flags: '--remove', description: 'remove them' },
    ],
    notes: `The daemon sets these rules and takes them away when it ends. After it was killed they may still be
there, and then nobody answers for the virtual services: --remove gives them back to the host.`,
    run: async ({ show, remove }) => {
      if (show && remove) {
        await cli.stderr('uipvs guard: type either --show or --remove\n');
        return USAGE_EXIT_CODE;
      }
      const tools = await cli.guard();
      if (remove) {
        const { table, hostLink, tap } = await tools.removeGuard();
        const removed = [
          ...(table ? ['the rules'] : []),
          ...(hostLink ? ['the link to the host'] : []),
          ...(tap ? ['the tap'] : []),
        ];
        await cli.stdout(removed.length === 0 ? 'there was no guard\n' : `removed: ${removed.join(', ')}\n`);
        return 0;
      }
      const rules = await tools.readGuard();
      await cli.stdout(rules === null ? 'there is no guard\n' : `${rules.trimEnd()}\n`);
      return 0;
    },
  };
}
