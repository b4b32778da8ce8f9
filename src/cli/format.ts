/** How numbers read in what the command line prints. */

/** "270,896" */
export function formatCount(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

/** A fraction as a percentage: 0.97314 is "97.31%". */
export function formatFraction(value: number): string {
  return `${(value * 100).toFixed(2)}%`;
}

/** Four significant digits: 0.012345 is "0.01235", 2.3025851 is "2.303". */
export function formatLoss(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(4)));
}

/** "133.4", "5.21", "1,204" */
export function formatRate(value: number): string {
  if (value >= 1000) return formatCount(Math.round(value));
  return value >= 100 ? value.toFixed(1) : value.toFixed(2);
}

/** "1.1 MB", in powers of 1000. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000) return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

/** Seconds as "42s", "3m 05s", "2h 14m". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole / 60) % 60)}m`;
}

/** "32x32x3" */
export function formatShape(shape: readonly number[]): string {
  return shape.join("x");
}
