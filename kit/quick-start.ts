/**
 * Flags of Node for programs that start often: the young generation begins as large as it would grow to be under load, 16 MB, so that a start
 * does not stop again and again to collect garbage. A program that has much to do takes no more memory with it. (Flags that change what code is
 * compiled to would cost more than they bring: the compile cache is void under them.)
 */
export const QUICK_START: readonly string[] = ["--min-semi-space-size=16"];
