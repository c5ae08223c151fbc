import * as pm2 from 'gapless-pm2';

pm2.connect((error) => {
  if (error) throw error;
  pm2.start({ script: 'app.js', name: 'app', instances: 2 }, (_, found) => {
    const id: number = found[0]?.pm_id ?? 0;
    pm2.sendDataToProcessId(id, { type: 'process:msg', topic: true, data: {} }, () => {});
  });
});
const listed: Promise<pm2.ProcessDescription[]> = pm2.list();
const status: Promise<string | undefined> = listed.then((all) => all[0]?.pm2_env.status);
pm2.reload('all', { updateEnv: true }).then((all) => all.length);
pm2.delete('app', () => pm2.disconnect());
pm2.launchBus().then((bus) => bus.on('log:*', (kind, content) => console.log(kind, content)));
export { status };
// @ts-expect-error a signal has a receiver
pm2.sendSignalToProcessId('SIGHUP');
