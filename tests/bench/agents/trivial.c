/* The least that speaks the protocol: one item, one heartbeat, BYE. A number as data sleeps that many milliseconds. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(void)
{
    char line[2048];
    int items = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    fputs("VERSION: 1.0\n\nOK\n", stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "CLOSE\n"))
            break;
        if (!strcmp(line, "END\n")) {
            puts("OK");
            continue;
        }
        long ms = atol(line);
        struct timespec nap = {ms / 1000, (ms % 1000) * 1000000L};
        nanosleep(&nap, NULL);
        printf("HEART: %d 1\n", ++items);
    }
    printf("HEART: %d 0\n\nBYE 0\n", items);
    return 0;
}
