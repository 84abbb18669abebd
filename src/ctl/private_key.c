#include <string.h>

#include "ctl/ctl.h"
#include "ctl/private_key.h"

enum { KEY_FILE_OCTETS = 65536 };

struct key *ctl_private_key(const char *path, int *code_out)
{
	struct key *key = NULL;
	struct buf file;

	buf_init(&file, CTL_INPUT_OCTETS);
	*code_out = ctl_read(path, &file);
	if (*code_out == CTL_DONE) {
		if (file.n <= KEY_FILE_OCTETS)
			key = key_private(buf_get(&file));
		if (!key) {
			ctl_complain("%s: no private key, RSA or Ed25519 as PEM or DER without passphrase was expected", path);
			*code_out = CTL_BAD;
		}
	}
	if (file.n)
		explicit_bzero(file.at, file.n);
	buf_release(&file);
	return key;
}
