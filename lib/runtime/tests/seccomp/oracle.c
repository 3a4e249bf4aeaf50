/* What libseccomp makes of a profile: reads lines on standard input, writes the program on standard output.
 *   default ACTION | arch NAME | rule ACTION NAME COUNT [INDEX OP A B]...
 * ACTION is a SECCOMP_RET_* value, OP an enum scmp_compare. With the argument `known`: reads names, prints each with its
 * numbers for x86_64, x32, x86, aarch64 and arm, negative where there is none. */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char word[64], name[64];
	uint32_t action;
	scmp_filter_ctx filter = NULL;

	if (argc > 1 && strcmp(argv[1], "known") == 0) {
		const uint32_t archs[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X32, SCMP_ARCH_X86, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM };
		while (scanf("%63s", name) == 1) {
			printf("%s", name);
			for (unsigned i = 0; i < 5; i++)
				printf(" %d", seccomp_syscall_resolve_name_arch(archs[i], name));
			putchar('\n');
		}
		return 0;
	}
	while (scanf("%63s", word) == 1) {
		int done = 0;
		if (strcmp(word, "default") == 0) {
			if (scanf("%" SCNu32, &action) != 1 || !(filter = seccomp_init(action)))
				return 2;
			done = seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
		} else if (strcmp(word, "arch") == 0) {
			if (scanf("%63s", name) != 1)
				return 2;
			done = seccomp_arch_add(filter, seccomp_arch_resolve_name(name));
		} else {
			struct scmp_arg_cmp args[6];
			unsigned count;
			if (scanf("%" SCNu32 " %63s %u", &action, name, &count) != 3 || count > 6)
				return 2;
			for (unsigned i = 0; i < count; i++) {
				unsigned index, op;
				uint64_t a, b;
				if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &op, &a, &b) != 4)
					return 2;
				args[i] = (struct scmp_arg_cmp){ index, op, a, b };
			}
			done = seccomp_rule_add_array(filter, action, seccomp_syscall_resolve_name(name), count, args);
		}
		if (done != 0) {
			fprintf(stderr, "%s %s: %s\n", word, name, strerror(-done));
			return 1;
		}
	}
	return seccomp_export_bpf(filter, STDOUT_FILENO) != 0;
}
