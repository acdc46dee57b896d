/** What a model is told after a change whose file had other names, which kept the old content; else nothing. */
export function partedNote({ partedLinks }: { readonly partedLinks: number }): string {
  if (partedLinks === 0) return "";
  return `\n[The file had ${partedLinks} other name(s), as hard links: they keep the old content. To change all of them, write through one with bash]`;
}
