/**
 * A reporter for vitest: lists skipped tests with their reasons and leaves the counts in the file that
 * UIPVS_TEST_COUNTS names, since vitest's own summary is made for eyes.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';

export default class TestReporter {
  /** @param {readonly import('vitest/node').TestModule[]} modules */
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    /** @type {Map<string, string[]>} reason -> tests */
    const skipped = new Map();
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') counts.passed += 1;
        else if (result.state === 'failed') counts.failed += 1;
        else {
          counts.skipped += 1;
          const reason = result.note ?? 'no reason given';
          const name = `${relative(process.cwd(), module.moduleId)}: ${test.fullName}`;
          skipped.set(reason, [...(skipped.get(reason) ?? []), name]);
        }
      }
    }
    for (const [reason, names] of skipped) {
      process.stdout.write(`\nSkipped: ${reason}\n${names.map((name) => `  ${name}\n`).join('')}`);
    }
    if (process.env.UIPVS_TEST_COUNTS) writeFileSync(process.env.UIPVS_TEST_COUNTS, JSON.stringify(counts));
  }
}
