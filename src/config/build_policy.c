#include "config/build.h"

static bool reserved(const char *name)
{
	return strcmp(name, "built-in") == 0 || strcmp(name, "none") == 0;
}

static struct rule_text rule_text(const struct conf_node *rule)
{
	const struct conf_value *when = conf_value(rule, KEY_RULE_WHEN);

	return (struct rule_text){
		.name = conf_value(rule, KEY_RULE_NAME)->text,
		.when = when->items,
		.when_count = when->item_count,
		.then = conf_value(rule, KEY_RULE_THEN)->text,
	};
}

static bool rule_usable(const struct conf_node *rule)
{
	return !conf_value(rule, KEY_RULE_NAME)->bad && !conf_value(rule, KEY_RULE_WHEN)->bad &&
	    !conf_value(rule, KEY_RULE_THEN)->bad;
}

static void check_name(struct conf_tree *t, const struct conf_node *policy, const struct conf_node *rule)
{
	const char *name = conf_value(rule, KEY_RULE_NAME)->text;

	if (strcmp(name, "otherwise") == 0)
		conf_mistake(t->errors, rule->where, "%s is called \"otherwise\", expected another name", rule->path);
	for (const struct conf_node *r = NULL; (r = conf_tree_next(t, GROUP_RULE, policy, r)) != rule;)
		if (rule_usable(r) && strcmp(conf_value(r, KEY_RULE_NAME)->text, name) == 0) {
			conf_mistake(t->errors, rule->where, "%s is called \"%s\" like the rule at %s, expected another name",
			    rule->path, name, r->where);
			return;
		}
}

/* Each rule by itself, so that every one with a mistake is named. */
static const struct policy *make(struct conf_tree *t, const struct conf_node *policy)
{
	const struct conf_value *otherwise = conf_value(policy, KEY_POLICY_OTHERWISE);
	struct rule_text *texts = ARENA_ARRAY(t->arena, policy->listed_count, struct rule_text);
	const char *error;
	size_t n = 0, at;

	for (const struct conf_node *r = NULL; texts && (r = conf_tree_next(t, GROUP_RULE, policy, r));) {
		if (!rule_usable(r))
			continue;
		check_name(t, policy, r);
		texts[n] = rule_text(r);
		if (policy_new(t->arena, policy->name, &texts[n], 1, NULL, &error, &at))
			n++;
		else
			conf_mistake(t->errors, r->where, "%s \"%s\": %s", r->path, texts[n].name, error);
	}
	if (!texts || otherwise->bad)
		return NULL;
	if (!policy_new(t->arena, policy->name, NULL, 0, otherwise->text, &error, &at)) {
		conf_mistake(t->errors, otherwise->where, "%s.otherwise: %s", policy->path, error);
		return NULL;
	}
	return policy_new(t->arena, policy->name, texts, n, otherwise->text, &error, &at);
}

struct build_policy *build_policies(struct conf_tree *t)
{
	struct build_policy *all = NULL;

	for (struct conf_node *n = NULL; (n = conf_tree_next(t, GROUP_POLICY, t->first, n));) {
		struct build_policy *p = ARENA_NEW(t->arena, struct build_policy);

		if (!p)
			return NULL;
		if (reserved(n->name))
			conf_mistake(t->errors, n->where, "%s has a reserved name, expected any but built-in and none", n->path);
		*p = (struct build_policy){ .name = n->name, .policy = make(t, n), .next = all };
		all = p;
	}
	return all;
}

const struct policy *build_built_in(struct conf_tree *t)
{
	struct policy *p = policy_built_in(t->arena);
	struct conf_node *n = p ? conf_tree_add(t, GROUP_POLICY, t->first, policy_name(p), t->first->where) : NULL;
	const struct rule_text *texts;
	const char *otherwise;
	size_t count;

	if (!n)
		return NULL;
	count = policy_text(p, &texts, &otherwise);
	for (size_t i = 0; i < count; i++) {
		struct conf_node *r = conf_tree_add(t, GROUP_RULE, n, NULL, t->first->where);
		struct conf_value *when;

		if (!r)
			return NULL;
		when = conf_value_edit(r, KEY_RULE_WHEN);
		when->item_count = texts[i].when_count;
		when->items = ARENA_ARRAY(t->arena, texts[i].when_count, const char *);
		if (!when->items)
			return NULL;
		memcpy(when->items, texts[i].when, texts[i].when_count * sizeof(when->items[0]));
		conf_value_edit(r, KEY_RULE_NAME)->text = texts[i].name;
		conf_value_edit(r, KEY_RULE_THEN)->text = texts[i].then;
	}
	return p;
}
