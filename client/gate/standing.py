"""Where a site stands by the decisions of its people: paused or not, and the last word on a study.

Nothing is kept here: the audit log says who decided what, in one order, and the newest line counts.
So an approval stands only while the line that tells of it is the newest about its study: not after
a withdrawal, not after other terms were signed, and not if its file was put there by hand.
"""

from client.gate.approvals import ApprovalTerms
from client.gate.audit import Audit
from client.gate.chain import Event
from protocol.errors import PolicyError, SiteOnlyError
from protocol.identifiers import Digest

PAUSED, RESUMED = "paused", "resumed"
SIGNED, ADMITTED, WITHDRAWN = "approval-signed", "approval-admitted", "approval-withdrawn"
ENVELOPE_SIGNED, ENVELOPE_WITHDRAWN = "envelope-signed", "envelope-withdrawn"


class Standing:
    """What an audit log comes to."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @property
    def paused(self) -> bool:
        """Return whether the site answers nothing."""
        found = self._audit.newest(PAUSED, RESUMED)
        return found is not None and found.event == PAUSED

    def check_at_work(self) -> None:
        """Check that the site is not paused.

        Raises:
            PolicyError: it is.
        """
        if self.paused:
            raise PolicyError(
                "site-paused",
                "The site has paused all rounds.",
                "Wait for the site; its administrator may end the pause.",
            )

    def withdrawals(self, study: Digest) -> int:
        """Return how often the approval of a study was withdrawn."""
        return self._audit.count(WITHDRAWN, study=study.hex())

    def check_not_withdrawn(self, study: Digest, *, before: int = 0) -> None:
        """Check that a study was not withdrawn since there were `before` withdrawals of it.

        Raises:
            PolicyError: it was.
        """
        if self.withdrawals(study) > before:
            raise _withdrawn()

    def check_stands(self, terms: ApprovalTerms) -> None:
        """Check that the approval with these terms is the site's last word on its study.

        Raises:
            PolicyError: it was withdrawn, or other terms were signed since.
            SiteOnlyError: it was never decided here.
        """
        found = self._last_word(terms.study)
        if found is None:
            raise SiteOnlyError(
                "approval-not-decided",
                "There is an approval of this study, but the audit log tells of none.",
                "Ask who put its file there. To take part, have two people approve the study.",
            )
        if found.event == WITHDRAWN:
            raise _withdrawn()
        if found.hash != terms.hash.hex():
            raise SiteOnlyError(
                "approval-superseded",
                "The approval of this study is not the one that was decided on last.",
                "Ask who changed its file. To take part, have two people approve the study anew.",
            )

    def approved(self) -> frozenset[Digest]:
        """Return the studies that were ever approved, whether that stands or not."""
        told = (*self._audit.events(SIGNED), *self._audit.events(ADMITTED))
        return frozenset(Digest(bytes.fromhex(each.study)) for each in told if each.study)

    def approved_terms(self, study: Digest) -> Digest:
        """Return the hash of the terms that were decided on last, withdrawn or not.

        Raises:
            PolicyError: the site never approved the study.
        """
        found = self._audit.newest(SIGNED, ADMITTED, study=study.hex())
        if found is None or found.hash is None:
            raise PolicyError(
                "study-not-approved",
                "The site has not approved this study.",
                "`concause site status` lists the studies that are approved.",
            )
        return Digest(bytes.fromhex(found.hash))

    def check_may_be_admitted(self, study: Digest) -> None:
        """Check that no person ended the approval of a study: then no envelope brings it back.

        Raises:
            PolicyError: someone did.
        """
        found = self._last_word(study)
        if found is not None and found.event == WITHDRAWN:
            raise _withdrawn()

    def newest_envelope(self) -> Digest | None:
        """Return the hash of the envelope that was signed last."""
        found = self._audit.newest(ENVELOPE_SIGNED)
        return Digest(bytes.fromhex(found.hash)) if found and found.hash else None

    def check_envelope(self, envelope: Digest) -> None:
        """Check that an envelope was not withdrawn after it was signed.

        Raises:
            PolicyError: it was.
        """
        found = self._audit.newest(ENVELOPE_SIGNED, ENVELOPE_WITHDRAWN, about=envelope.hex())
        if found is not None and found.event == ENVELOPE_WITHDRAWN:
            raise PolicyError(
                "envelope-withdrawn",
                "The site has withdrawn the envelope under which this study was admitted.",
                "Ask the site; two of its people may approve the study itself.",
            )

    def _last_word(self, study: Digest) -> Event | None:
        return self._audit.newest(SIGNED, ADMITTED, WITHDRAWN, study=study.hex())


def _withdrawn() -> PolicyError:
    return PolicyError(
        "approval-withdrawn",
        "The site has withdrawn its approval of this study.",
        "Ask the site why; two of its people would have to approve the study anew.",
    )
