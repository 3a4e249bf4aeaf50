/* What an attacker does that a shell cannot, linked statically into the image. First argument:
 *   type TEXT   types TEXT and a newline into the terminal at stdin (TIOCSTI)
 *   keyring     prints the description of the session keyring
 *   trace PID   until there is a file /stop looks into every process it sees that is not PID 1 or itself, for a descriptor through
 *               which the machine's process PID can be seen, and says what it read there */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int type(const char *text)
{
	for (; *text; text++)
		if (ioctl(0, TIOCSTI, text) != 0) {
			perror("TIOCSTI");
			return 1;
		}
	return ioctl(0, TIOCSTI, "\n") != 0;
}

static int keyring(void)
{
	char text[256] = "";
	long n = syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, -3 /* the session's */, text, sizeof text);
	if (n < 0) {
		perror("keyctl");
		return 1;
	}
	puts(text);
	return 0;
}

static int look(const char *pid, const char *machine)
{
	char path[128], text[64];
	for (int number = 3; number < 24; number++) {
		snprintf(path, sizeof path, "/proc/%s/fd/%d/%s/comm", pid, number, machine);
		int file = open(path, O_RDONLY);
		if (file < 0)
			continue;
		long n = read(file, text, sizeof text - 1);
		close(file);
		if (n > 0) {
			text[n] = 0;
			printf("saw %s", text);
			fflush(stdout);
			return 1;
		}
	}
	return 0;
}

static int trace(const char *machine)
{
	time_t end = time(NULL) + 60;
	int own = getpid();
	while (time(NULL) <= end && access("/stop", F_OK) != 0) {
		DIR *proc = opendir("/proc");
		struct dirent *entry;
		while (proc && (entry = readdir(proc))) {
			int pid = atoi(entry->d_name);
			if (pid > 1 && pid != own && look(entry->d_name, machine))
				return 0;
		}
		if (proc)
			closedir(proc);
	}
	puts("saw nothing");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "type") == 0)
		return type(argv[2]);
	if (argc > 1 && strcmp(argv[1], "keyring") == 0)
		return keyring();
	if (argc > 2 && strcmp(argv[1], "trace") == 0)
		return trace(argv[2]);
	return 2;
}
