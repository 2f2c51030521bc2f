/** What happens to a device, or by it, beside its DMA: for those who look at a trace. */
export type DeviceHappening =
  | {
      readonly kind: 'interrupt';
      /** `MSI-X`, `INTx`, `queue`. */
      readonly name: string;
      /** The vector or queue; of INTx the level that its line has now. */
      readonly vector: number;
      /** Why nobody hears of it. */
      readonly lost?: string;
    }
  | {
      /** What it may use from now on, or no more. */
      readonly kind: 'authorized' | 'revoked';
      readonly pasid: number;
      /** By which number its program means the PASID, when that is another. */
      readonly vpasid?: number;
    }
  | {
      /** It asks for a page. */
      readonly kind: 'page';
      readonly pasid: number;
      readonly iova: number;
      readonly write: boolean;
    };
