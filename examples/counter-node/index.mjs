// Counts in a module's variable and in a file: both belong to one tenant's
// environments.
//
//   alcove deploy examples/counter-node --name counter-node --tenant-isolation
//   alcove invoke counter-node --tenant blue
//   alcove invoke counter-node --tenant green
import { appendFile, readFile } from 'node:fs/promises';

const notes = '/tmp/notes.txt';
let count = 0;

export async function handler(event, context) {
  count += 1;
  await appendFile(notes, `${context.tenantId} was here, call ${count}\n`);
  console.log(`call ${count} for tenant ${context.tenantId}`);
  const lines = (await readFile(notes, 'utf8')).trimEnd().split('\n');
  return { tenant: context.tenantId, count, notes: lines };
}
