/**
 * Everything that must be there before the lab or the tests can run: programs of the system, npm packages and
 * the built files. Does only what is missing, says what it does, and takes a fraction of a second when nothing is.
 */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, buildIsCurrent } from './build.mjs';
import { installPackages, missingCompiledPackages, packagesAreCurrent } from './packages.mjs';
import {
  COMPILER_TOOLS,
  installLine,
  installSystemPackages,
  installWithoutServices,
  LAB_TOOLS,
  missingPackages,
  SCENARIO_TOOLS,
  TEST_TOOLS,
} from './system-tools.mjs';
import { SetUpError, say } from './terminal.mjs';

/** The folder of package.json. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * For the lab: throws a SetUpError when one of its programs is missing and cannot be installed.
 * @param {'tools of the lab' | 'nothing of the system'} [need] the second for a lab without namespaces
 */
export async function setUpForLab(need = 'tools of the lab') {
  if (need === 'tools of the lab') await setUpPackages(LAB_TOOLS, 'required');
  else if (!packagesAreCurrent(ROOT)) await installPackages(ROOT);
  if (!buildIsCurrent(ROOT)) {
    say('building (tsc) ...');
    if (!(await build(ROOT))) throw new SetUpError('the lab cannot start without the built files.');
  }
}

/**
 * What only the scenario asked for needs; throws a SetUpError when it cannot be installed.
 * @param {readonly string[]} packages
 */
export async function setUpForScenario(packages) {
  if (packages.length === 0) return;
  const failure = await installWithoutServices(packages);
  if (failure === null) return;
  const line = `${installLine(packages)} --no-install-recommends`;
  throw new SetUpError(`missing packages: ${packages.join(' ')}; ${failure}\nType: ${line}`);
}

/** For the tests: those whose programs are missing are skipped, so nothing of the system is required. */
export async function setUpForTests() {
  await setUpPackages([...LAB_TOOLS, ...TEST_TOOLS], 'wanted');
  const missing = missingPackages(SCENARIO_TOOLS);
  const failure = missing.length > 0 ? await installWithoutServices(missing) : null;
  if (failure === null) return;
  say(`missing packages: ${missing.join(' ')}; ${failure}\nType: ${installLine(missing)} --no-install-recommends`);
  say('going on without them; the scenarios that need them are left out.');
}

/**
 * @param {readonly import('./system-tools.mjs').Tool[]} tools
 * @param {'required' | 'wanted'} need
 */
async function setUpPackages(tools, need) {
  const compilers = missingCompiledPackages(ROOT).length > 0 ? missingPackages(COMPILER_TOOLS) : [];
  const missing = missingPackages(tools);
  const all = [...missing, ...compilers];
  const failure = all.length > 0 ? await installSystemPackages(all) : null;
  if (failure !== null) {
    const sentence = `missing packages: ${all.join(' ')}; ${failure}\nType: ${installLine(all)}`;
    if (need === 'required' && missingPackages(tools).length > 0) throw new SetUpError(sentence);
    say(sentence);
    say('going on without them; what needs them is left out.');
  }
  const compilersCame = compilers.length > 0 && failure === null;
  if (!packagesAreCurrent(ROOT) || compilersCame) await installPackages(ROOT);
}
