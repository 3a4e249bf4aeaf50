// spawn.c - what it costs to start a program and wait for it: rounds of all candidates in turn, in a shuffled order, minimum,
// first decile and median of each in microseconds, and page faults.
// usage: spawn ROUNDS NAME=COMMAND...   (COMMAND is split at spaces; its output goes to /dev/null)
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
enum { MAX = 32, WORDS = 64 };
static int ascending(const void *a, const void *b) { double d = *(double *)a - *(double *)b; return (d > 0) - (d < 0); }
static double now_us(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
int main(int argc, char **argv) {
    int rounds = argc > 2 ? atoi(argv[1]) : 0, n = argc - 2, order[MAX];
    if (rounds < 1 || n < 1 || n > MAX) { fputs("usage: spawn ROUNDS NAME=COMMAND...\n", stderr); return 2; }
    char *words[MAX][WORDS];
    double *took[MAX]; long faults[MAX] = {0}; int failed[MAX] = {0};
    for (int i = 0; i < n; i++) {
        int w = 0;
        char *command = strchr(argv[i + 2], '=');
        if (!command) return 2;
        *command++ = 0;
        for (char *p = strtok(command, " "); p && w < WORDS - 1; p = strtok(0, " ")) words[i][w++] = p;
        words[i][w] = 0;
        took[i] = calloc(rounds, sizeof(double));
        order[i] = i;
    }
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&quiet, 0, 1);
    posix_spawn_file_actions_adddup2(&quiet, 0, 2);
    srand(7);
    for (int r = -3; r < rounds; r++) {     // three rounds to warm up
        for (int i = n - 1; i > 0; i--) { int j = rand() % (i + 1), t = order[i]; order[i] = order[j]; order[j] = t; }
        for (int k = 0; k < n; k++) {
            int i = order[k], status; pid_t pid; struct rusage used;
            double start = now_us();
            if (posix_spawnp(&pid, words[i][0], &quiet, 0, words[i], environ)) { perror(words[i][0]); return 1; }
            wait4(pid, &status, 0, &used);
            if (r >= 0) { took[i][r] = now_us() - start; faults[i] = used.ru_minflt; failed[i] |= status != 0; }
        }
    }
    printf("%-24s %8s %8s %8s %7s   (us, %d rounds)\n", "", "min", "p10", "median", "faults", rounds);
    for (int i = 0; i < n; i++) {
        qsort(took[i], rounds, sizeof(double), ascending);
        printf("%-24s %8.0f %8.0f %8.0f %7ld%s\n", argv[i + 2], took[i][0], took[i][rounds / 10], took[i][rounds / 2], faults[i], failed[i] ? "   (not 0)" : "");
    }
}
