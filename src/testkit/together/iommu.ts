import { together } from '../together.js';

together('iommu');
