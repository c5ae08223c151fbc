// Quantities as people read them.

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "-";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function since(stamp) {
  const at = Date.parse(stamp ?? "");
  return Number.isNaN(at) ? null : (Date.now() - at) / 1000;
}

/** A time as the clock of whoever looks shows it. */
export function time(stamp) {
  const at = Date.parse(stamp ?? "");
  return Number.isNaN(at) ? stamp || "-" : new Date(at).toLocaleString("sv-SE");
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "-";
  let [rest, unit] = [bytes, 0];
  const units = ["B", "kB", "MB", "GB", "TB"];
  while (rest >= 1000 && unit < units.length - 1) [rest, unit] = [rest / 1000, unit + 1];
  return `${rest < 10 && unit ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}

export function fromTo(pair) {
  if (!pair) return "-";
  const { old, new: now } = pair;
  if (old === null || old === undefined || old === now) return now === null || now === undefined ? "-" : `${now}`;
  return now === null || now === undefined ? `${old}` : `${old} → ${now}`;
}
