/** Text in columns. */

export interface Column {
  readonly title: string;
  /** Numbers read best from the right. */
  readonly align?: "left" | "right";
}

/** Lines of a table: titles, then rows; each column as wide as its widest cell, two spaces between. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const titles = columns.map((column) => column.title);
  const widths = columns.map((_, index) => Math.max(...[titles, ...rows].map((row) => displayWidth(row[index]))));
  return [titles, ...rows].map((row) =>
    row.map((cell, index) => {
      const padding = " ".repeat(widths[index] - displayWidth(cell));
      return columns[index].align === "right" ? padding + cell : cell + padding;
    }).join("  ").trimEnd()
  );
}

/** "name: value" lines with the values below each other. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(...fields.map(([name]) => name.length)) + 2;
  return fields.map(([name, value]) => `${name}:`.padEnd(width) + value);
}

/** Characters as a person counts them; a class name may hold any. */
function displayWidth(cell: string): number {
  return [...cell].length;
}
