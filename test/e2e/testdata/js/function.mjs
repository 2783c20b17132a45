// The function that main.mjs deploys.
let count = 0;
export async function handler(event, context) {
  if (event.fail) throw new RangeError('as told');
  count += 1;
  console.log('hello');
  return { tenant: context.tenantId, count };
}
