/*
 * build.h - from settings to a conf: what several settings have to do with each other. Pure.
 */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "config/conf.h"
#include "config/tree.h"

/* What the machine says. */
struct build_machine {
	const char *hostname; /* NULL: it has no usable one */
	unsigned cores;       /* at least 1 */
};

/* Fills c from its tree, in c->arena; mistakes go to t->errors, and what they concern stays empty. */
void build_conf(struct conf *c, struct conf_tree *t, const struct build_machine *machine);

/* config/build_next_hop: where a listener's mail goes, and how. */
void build_next_hops(struct conf_tree *t, struct conf_node *listener, struct conf_listener *l);
/* ... by the table it has (l->table_file), whose content this is. */
void build_table(struct conf *c, struct conf_listener *l, struct slice text, struct conf_errors *errors);
/* Mail that goes from listener to listener must leave at last. After the tables. */
void build_check_loops(struct conf *c, struct conf_errors *errors);
/* A message that must not travel in clear may do so within this machine only. */
void build_check_requiretls(const struct conf *c, struct conf_errors *errors);

/* config/build_queue: what messages hopseal answers for come to. */
void build_queue(struct conf *c, struct conf_tree *t);
/* Who may send to whom, and what makes no sense in the listener's mode; once its next hops and its TLS are built. */
void build_relaying(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l);
/* Its domains by the file it names (l->domains_file), whose content this is. */
void build_domain_table(struct conf *c, struct conf_listener *l, struct slice text, struct conf_errors *errors);
/* As conf_takes() finds them. */
void build_sort_domains(struct conf_listener *l);

/* Once the type of each key is known. */
void build_check_keys(struct conf *c, struct conf_errors *errors);

/* "dns.resolver = "x"WHAT, expected ...", from the row of the setting. */
void build_mistake(struct conf_tree *t, const struct conf_node *n, enum conf_key_id key, const char *text, const char *what);

/* config/build_tls: of one listener, once its next hops are built. */
void build_tls(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l);

/* config/build_auth: of one listener, once its TLS is built. */
void build_auth(struct conf_tree *t, const struct conf_node *listener, struct conf_listener *l);

/* config/build_policy: the policy a listener names, made by its first use; NULL accepts. */
struct build_policy {
	const char *name;
	const struct policy *policy;
	struct build_policy *next;
};
/* Every policy of the file, used or not. */
struct build_policy *build_policies(struct conf_tree *t);
/* The rules of policy_built_in(), shown as if the file held them. */
const struct policy *build_built_in(struct conf_tree *t);

#endif
