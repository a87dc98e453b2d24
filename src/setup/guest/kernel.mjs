/**
 * A stock kernel of the distribution, downloaded once and unpacked beside the system, never installed. It is kept in
 * a cache, so that no network is needed from then on.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isOnPath, lastLines, run, say } from '../terminal.mjs';

/** Packages that depend on the newest kernel, the smallest first: Debian's, then Ubuntu's. */
const KERNEL_PACKAGES = ['linux-image-cloud-amd64', 'linux-image-amd64', 'linux-image-virtual'];
const IPVS_MODULE = 'kernel/net/netfilter/ipvs/ip_vs.ko';

/** @typedef {{ image: string, modules: string, version: string }} GuestKernel `modules`: lib/modules/VERSION */

function cacheFolder() {
  return process.getuid?.() === 0 ? '/var/cache/uipvs/guest' : join(homedir(), '.cache/uipvs/guest');
}

/**
 * The kernel in the cache, or after a download the newest one.
 * @returns {Promise<{ kernel: GuestKernel } | { reason: string }>} reason: why there is none
 */
export async function getKernel() {
  const folder = cacheFolder();
  const cached = findKernel(folder);
  if (cached !== null) return { kernel: cached };
  if (!isOnPath('apt-get') || !isOnPath('dpkg-deb'))
    return { reason: 'a kernel comes from apt-get, which is not here' };
  for (const name of KERNEL_PACKAGES) {
    const packages = await kernelPackages(name);
    if (packages.length === 0) continue;
    say(`downloading the kernel for the guest: ${packages.join(' ')} ...`);
    const reason = await unpack(packages, folder);
    const kernel = findKernel(folder);
    if (reason === null && kernel !== null) return { kernel };
    return { reason: reason ?? `${packages.join(' ')} has no module ip_vs` };
  }
  return { reason: `apt-get knows none of ${KERNEL_PACKAGES.join(', ')} (try apt-get update)` };
}

/** @param {string} folder @returns {GuestKernel | null} */
function findKernel(folder) {
  const modulesFolder = [join(folder, 'lib/modules'), join(folder, 'usr/lib/modules')].find((path) => existsSync(path));
  if (modulesFolder === undefined) return null;
  for (const version of readdirSync(modulesFolder)) {
    const modules = join(modulesFolder, version);
    const image = [join(folder, 'boot', `vmlinuz-${version}`), join(modules, 'vmlinuz')].find((path) =>
      existsSync(path),
    );
    const hasIpvs = ['', '.xz', '.zst', '.gz'].some((ending) => existsSync(join(modules, IPVS_MODULE + ending)));
    if (image !== undefined && hasIpvs) return { image, modules, version };
  }
  return null;
}

/** The image and the modules that a package of the list stands for. @param {string} name */
async function kernelPackages(name) {
  const { code, output } = await run('apt-cache', ['depends', name]);
  if (code !== 0) return [];
  const images = [...output.matchAll(/Depends: (linux-image-\d\S*)/g)].map(([, found]) => found);
  if (images.length === 0) return [];
  const more = await run('apt-cache', ['depends', images[0]]);
  return [images[0], ...[...more.output.matchAll(/Depends: (linux-modules-\d\S*)/g)].map(([, found]) => found)];
}

/** Puts the contents of packages in place of `folder`. @returns {Promise<string | null>} what went wrong */
async function unpack(packages, folder) {
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(join(fresh, 'packages'), { recursive: true });
  try {
    const words = ['-o', 'Acquire::Retries=2', '-o', 'APT::Sandbox::User=root', '-qq', 'download', ...packages];
    const { code, output } = await run('apt-get', words, { cwd: join(fresh, 'packages') });
    if (code !== 0) return `the kernel could not be downloaded: ${lastLines(output, 2)}`;
    for (const file of readdirSync(join(fresh, 'packages'))) {
      const unpacked = await run('dpkg-deb', ['-x', join(fresh, 'packages', file), fresh]);
      if (unpacked.code !== 0) return `${file} could not be unpacked: ${lastLines(unpacked.output, 2)}`;
    }
    rmSync(join(fresh, 'packages'), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    return null;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
