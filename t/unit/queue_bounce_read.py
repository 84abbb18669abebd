"""Reads what test_queue_bounce writes with Python's own parser, which shares no line with ours: queue_bounce_read.py TEST_QUEUE_BOUNCE."""
import email
import email.policy
import subprocess
import sys


def main():
    run = subprocess.run([sys.argv[1], "--tell"], stdout=subprocess.PIPE, check=True, universal_newlines=True)
    seen, wrong = 0, []

    for line in run.stdout.splitlines():
        if not line.startswith("report\t"):
            continue
        _, what, rcpts, form, octets = line.split("\t")
        octets = bytes.fromhex(octets)
        message = email.message_from_bytes(octets, policy=email.policy.default.clone(utf8=True))
        defects = [repr(d) for part in message.walk() for d in part.defects]
        parts = list(message.iter_parts())
        if defects:
            wrong.append("%s: %s" % (what, defects))
        elif message.get_content_type() != "multipart/report" or message.get_param("report-type") != "delivery-status" or len(parts) != 3:
            wrong.append("%s: %s of %d parts" % (what, message.get_content_type(), len(parts)))
        elif message["auto-submitted"] != "auto-replied" or len(message["from"].addresses) != 1 or len(message["to"].addresses) != 1 or not message["date"].datetime:
            wrong.append("%s: %s" % (what, message.items()))
        else:
            # the parser takes message/delivery-status apart by itself, and knows nothing of message/global-*
            status = parts[1].get_payload()
            if parts[1].get_content_type() == "message/delivery-status":
                if len(status) != int(rcpts) + 1 or "reporting-mta" not in status[0]:
                    wrong.append("%s: %d groups" % (what, len(status)))
                for group in status[1:]:
                    if "final-recipient" not in group or "action" not in group or "status" not in group:
                        wrong.append("%s: %s" % (what, group.items()))
            returned = "message/rfc822", "message/global"
            if (parts[2].get_content_type() in returned) != (form == "whole"):
                wrong.append("%s: %s" % (what, parts[2].get_content_type()))
            seen += 1
    print(seen, "reports")
    for line in wrong[:20]:
        print(line)
    return bool(wrong) or seen < 250


sys.exit(main())
