/* dns SERVER NAME TYPE SECONDS WINDOW: asks SERVER for NAME by UDP, WINDOW questions in the air, and prints answers a second, the
 * median and the 99th percentile of the time to an answer in microseconds, and how many were lost (no answer within a second).
 * A question's place in the window is its id, so an answer is matched without searching. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static int order(const void *a, const void *b) { return (*(float *)a > *(float *)b) - (*(float *)a < *(float *)b); }

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "dns SERVER NAME TYPE SECONDS WINDOW\n"), 2;
    unsigned char question[300] = {0, 0, 1, 0, 0, 1}, answer[4096];
    int length = 12, window = atoi(argv[5]);
    for (char *label = strtok(strdup(argv[2]), "."); label; label = strtok(NULL, ".")) {
        question[length++] = strlen(label);
        length += sprintf((char *)question + length, "%s", label);
    }
    question[length++] = 0, question[length++] = 0, question[length++] = atoi(argv[3]), question[length++] = 0, question[length++] = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) return perror("connect"), 1;
    double *sent = calloc(window, sizeof *sent), begin = now(), end = begin + atof(argv[4]), t = begin;
    size_t count = 0, room = 1 << 20, lost = 0;
    float *took = malloc(room * sizeof *took);
    for (; t < end; t = now()) {
        for (int i = 0; i < window; i++)
            if (!sent[i] || t - sent[i] > 1) {
                lost += sent[i] != 0;
                question[0] = i >> 8, question[1] = i, sent[i] = now();
                if (send(s, question, length, 0) < 0) sent[i] = 0;
            }
        poll(&(struct pollfd){s, POLLIN, 0}, 1, 100);
        while (recv(s, answer, sizeof answer, 0) >= 12) {
            int i = answer[0] << 8 | answer[1];
            if (i >= window || !sent[i]) continue;
            if (count == room) took = realloc(took, (room *= 2) * sizeof *took);
            took[count++] = (now() - sent[i]) * 1e6, sent[i] = 0;
        }
    }
    qsort(took, count, sizeof *took, order);
    printf("%.0f %.0f %.0f %zu\n", count / (t - begin), count ? took[count / 2] : 0, count ? took[count * 99 / 100] : 0, lost);
    return 0;
}
